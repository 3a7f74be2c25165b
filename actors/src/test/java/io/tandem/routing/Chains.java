package io.tandem.routing;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;

/** Random prompts that share prefixes, as chains of sequence hashes. */
final class Chains {
    private final Random random;
    private final List<long[]> chains = new ArrayList<>();

    Chains(Random random) {
        this.random = random;
    }

    static long[] chain(long seed, int blocks) {
        return continued(new long[0], seed, blocks);
    }

    /** A chain and {@code blocks} more, which depend on all before and on a seed. */
    static long[] continued(long[] prefix, long seed, int blocks) {
        long[] chain = Arrays.copyOf(prefix, prefix.length + blocks);
        for (int i = prefix.length; i < chain.length; i++) {
            chain[i] = next(i == 0 ? 0 : chain[i - 1], seed);
        }
        return chain;
    }

    private static long next(long parent, long seed) {
        long h = (parent ^ seed) * 0xBF58476D1CE4E5B9L + 0x94D049BB133111EBL;
        h = (h ^ (h >>> 29)) * 0x9E3779B97F4A7C15L;
        return h ^ (h >>> 32);
    }

    /** An earlier chain, a branch off one, one grown longer, or a new one. */
    long[] draw(int maxBlocks) {
        int kind = random.nextInt(10);
        if (chains.isEmpty() || kind == 0) {
            return remember(chain(random.nextLong(), 1 + random.nextInt(maxBlocks)));
        }
        long[] old = chains.get(random.nextInt(chains.size()));
        if (kind < 4) {
            return old;
        }
        int keep = kind < 7 ? random.nextInt(old.length + 1) : old.length;
        int more = random.nextInt(Math.max(1, Math.min(maxBlocks - keep, kind == 9 ? 2 : 40)) + 1);
        return keep + more == 0 ? old : remember(continued(Arrays.copyOf(old, keep), random.nextInt(3), more));
    }

    private long[] remember(long[] chain) {
        if (chains.size() < 400) {
            chains.add(chain);
        } else {
            chains.set(random.nextInt(400), chain);
        }
        return chain;
    }
}
