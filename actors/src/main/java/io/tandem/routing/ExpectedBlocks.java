package io.tandem.routing;

import java.util.HashMap;
import java.util.Map;

/**
 * Blocks that workers will hold soon because prompts were just sent there. Two generations, each as old as the time to live at
 * most: the younger one is added to, the older one only read and then dropped whole, so an entry counts for one to two times to
 * live, nothing has to be found again to be removed, and memory is bounded. Not thread-safe.
 */
final class ExpectedBlocks {
    private final int maxWorkers;
    private final long maxBlocks;
    private final long ttlNanos;
    private Generation young;
    private Generation old;
    private long turnedNanos;

    private static final class Generation {
        final PrefixIndex index;
        final PrefixMatch match;
        final Map<String, Integer> slots = new HashMap<>();

        Generation(int maxWorkers, long maxBlocks) {
            index = new PrefixIndex(maxWorkers, maxBlocks);
            match = new PrefixMatch(maxWorkers);
        }

        int depth(String worker) {
            Integer slot = slots.get(worker);
            return slot == null ? 0 : match.depth(slot);
        }
    }

    ExpectedBlocks(int maxWorkers, long maxBlocks, long ttlNanos) {
        this.maxWorkers = maxWorkers;
        this.maxBlocks = maxBlocks;
        this.ttlNanos = ttlNanos;
    }

    private static String name(String gpuId, long epoch) {
        return gpuId + "@" + epoch;
    }

    /** A prompt goes to a worker. */
    void sent(String gpuId, long epoch, PromptKeys keys, long nowNanos) {
        if (keys.hashes().length == 0) {
            return;
        }
        turn(nowNanos);
        if (young == null) {
            young = new Generation(maxWorkers, maxBlocks);
        }
        int next = young.slots.size();
        Integer slot = young.slots.get(name(gpuId, epoch));
        if (slot == null && next < maxWorkers) {
            slot = next;
            young.slots.put(name(gpuId, epoch), slot);
        }
        if (slot != null) {
            young.index.store(slot, 0, 0, keys.hashes(), 0, keys.hashes().length);
        }
    }

    /** Looks a prompt up; {@link #depth} answers for it from then on. */
    void find(PromptKeys keys, long nowNanos) {
        turn(nowNanos);
        for (Generation generation : new Generation[] {young, old}) {
            if (generation != null) {
                generation.index.find(keys.hashes(), 0, keys.hashes().length, generation.match);
            }
        }
    }

    /** Leading blocks of the prompt looked up last that a worker will hold soon. */
    int depth(String gpuId, long epoch) {
        if (young == null && old == null) {
            return 0;
        }
        String name = name(gpuId, epoch);
        return Math.max(young == null ? 0 : young.depth(name), old == null ? 0 : old.depth(name));
    }

    private void turn(long nowNanos) {
        if (young == null && old == null) {
            turnedNanos = nowNanos;
        } else if (nowNanos - turnedNanos >= ttlNanos) {
            old = nowNanos - turnedNanos >= 2 * ttlNanos ? null : young;
            young = null;
            turnedNanos = nowNanos;
        }
    }
}
