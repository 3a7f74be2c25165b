package io.tandem.routing.benchmark;

import io.tandem.kvcache.BlockHash;
import io.tandem.kvcache.BlockHashKey;
import io.tandem.kvcache.Xxh3;
import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.util.Arrays;
import java.util.Random;
import java.util.function.IntToLongFunction;

/**
 * How fast prompts become block hashes: all prompts of a trace, random tokens, one thread. Each prompt has tokens of its own, which
 * come from memory (half a gigabyte for the trace); the router's come from its cache, since it has just tokenised them, so XXH3
 * is measured with prompts that are there, too.
 */
final class HashMeasurement {
    private static final int VOCABULARY = 128_000;
    private static final int PASSES = 5;
    private static final ThreadMXBean THREADS = ManagementFactory.getThreadMXBean();

    /** XXH3 alone, its chain alone, both, both with cached prompts; and the 128-bit hash that says whether KV is shared. Per second. */
    record Result(
            int blockTokens,
            double localTokens,
            double chainBlocks,
            double bothTokens,
            double cachedTokens,
            double blockHashTokens,
            double keyedHashTokens) {}

    private final int[] tokens;
    private final int[] starts;
    private long consumed;

    HashMeasurement(int[] inputTokens) {
        starts = new int[inputTokens.length + 1];
        for (int r = 0; r < inputTokens.length; r++) {
            starts[r + 1] = Math.addExact(starts[r], inputTokens[r]);
        }
        tokens = new Random(42).ints(starts[inputTokens.length], 0, VOCABULARY).toArray();
    }

    long consumed() {
        return consumed;
    }

    Result measure(int blockTokens) {
        long[] hashes = new long[longest() / blockTokens + 1];
        long[][] locals = new long[starts.length - 1][];
        long blocks = 0;
        Xxh3 xxh3 = new Xxh3(Xxh3.BLOCK_SEED);
        for (int r = 0; r < locals.length; r++) {
            locals[r] = new long[(starts[r + 1] - starts[r]) / blockTokens];
            blocks += locals[r].length;
        }
        double local = seconds(r -> {
            for (int b = 0; b < locals[r].length; b++) {
                locals[r][b] = xxh3.tokens(tokens, starts[r] + b * blockTokens, blockTokens);
            }
            return 0;
        });
        double chain = seconds(r -> {
            xxh3.chain(locals[r], locals[r].length, hashes);
            return hashes[0];
        });
        double both = seconds(r -> xxh3.sequence(tokens, starts[r], starts[r + 1] - starts[r], blockTokens, hashes));
        double cached = seconds(r -> xxh3.sequence(tokens, 0, starts[r + 1] - starts[r], blockTokens, hashes));
        double strong = seconds(BlockHash.of("model", blockTokens), locals, blockTokens);
        double keyed =
                seconds(BlockHash.of(new BlockHashKey(1, 2, "bench"), "model", blockTokens), locals, blockTokens);
        return new Result(
                blockTokens,
                tokens.length / local,
                blocks / chain,
                tokens.length / both,
                tokens.length / cached,
                tokens.length / strong,
                tokens.length / keyed);
    }

    private double seconds(BlockHash hash, long[][] locals, int blockTokens) {
        return seconds(r -> {
            hash.root(0);
            for (int b = 0; b < locals[r].length; b++) {
                hash.next(tokens, starts[r] + b * blockTokens);
            }
            return hash.low();
        });
    }

    private int longest() {
        int longest = 0;
        for (int r = 1; r < starts.length; r++) {
            longest = Math.max(longest, starts[r] - starts[r - 1]);
        }
        return longest;
    }

    /** The median pass over all prompts, of this thread's own time; the first two passes are the compiler's. */
    private double seconds(IntToLongFunction prompt) {
        double[] seconds = new double[PASSES];
        for (int pass = -2; pass < PASSES; pass++) {
            long start = THREADS.getCurrentThreadCpuTime();
            for (int r = 0; r < starts.length - 1; r++) {
                consumed += prompt.applyAsLong(r);
            }
            seconds[Math.max(pass, 0)] = (THREADS.getCurrentThreadCpuTime() - start) / 1e9;
        }
        Arrays.sort(seconds);
        return seconds[PASSES / 2];
    }
}
