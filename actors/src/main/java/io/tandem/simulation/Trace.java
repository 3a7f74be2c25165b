package io.tandem.simulation;

import java.util.Arrays;
import org.agrona.collections.Long2LongHashMap;

/**
 * Requests in order of arrival, as columns. A prompt is a path of nodes, one for each {@code prefixBlockTokens} tokens; two
 * prompts share exactly the tokens of their common leading nodes.
 *
 * @param name where it comes from
 * @param prefixBlockTokens tokens a node stands for
 * @param arrivalNanos since the start, ascending
 * @param inputTokens prompt lengths
 * @param outputTokens output lengths, at least 1
 * @param nodes per request, node ids, {@code ceil(input / prefixBlockTokens)} of them
 * @param nodeCount ids are below
 */
public record Trace(
        String name,
        int prefixBlockTokens,
        long[] arrivalNanos,
        int[] inputTokens,
        int[] outputTokens,
        int[][] nodes,
        int nodeCount) {

    public int size() {
        return arrivalNanos.length;
    }

    /** The same requests, arriving {@code factor} times as fast. */
    public Trace speedUp(double factor) {
        if (!(factor > 0)) {
            throw new IllegalArgumentException("speedup must be above 0, not " + factor);
        }
        long[] faster = new long[size()];
        for (int i = 0; i < faster.length; i++) {
            faster[i] = Math.round(arrivalNanos[i] / factor);
        }
        return new Trace(name, prefixBlockTokens, faster, inputTokens, outputTokens, nodes, nodeCount);
    }

    /** The first {@code count} requests. */
    public Trace head(int count) {
        int n = Math.min(count, size());
        return new Trace(
                name,
                prefixBlockTokens,
                Arrays.copyOf(arrivalNanos, n),
                Arrays.copyOf(inputTokens, n),
                Arrays.copyOf(outputTokens, n),
                Arrays.copyOf(nodes, n),
                nodeCount);
    }

    /** Collects requests; equal ids behind an equal path are one node. */
    public static final class Builder {
        private static final int ROOT = -1;

        private final String name;
        private final int prefixBlockTokens;
        private final Long2LongHashMap known = new Long2LongHashMap(-1);
        private long[] arrivalNanos = new long[1024];
        private int[] inputTokens = new int[1024];
        private int[] outputTokens = new int[1024];
        private int[][] nodes = new int[1024][];
        private int size;
        private int nodeCount;

        public Builder(String name, int prefixBlockTokens) {
            this.name = name;
            this.prefixBlockTokens = prefixBlockTokens;
        }

        /**
         * @param prefixIds one id for each block of the prompt, below 2^31; empty = a prompt that shares nothing
         * @throws IllegalArgumentException for a request that is out of order, has no tokens, or too few ids
         */
        public void add(long arrival, int input, int output, int[] prefixIds) {
            check(arrival, input, output, prefixIds);
            if (size == arrivalNanos.length) {
                grow();
            }
            int blocks = Math.ceilDiv(input, prefixBlockTokens);
            int[] path = new int[blocks];
            int parent = ROOT;
            for (int b = 0; b < blocks; b++) {
                parent = prefixIds.length == 0 ? nodeCount++ : node(parent, prefixIds[b]);
                path[b] = parent;
            }
            arrivalNanos[size] = arrival;
            inputTokens[size] = input;
            outputTokens[size] = output;
            nodes[size++] = path;
        }

        private void check(long arrival, int input, int output, int[] prefixIds) {
            if (size > 0 && arrival < arrivalNanos[size - 1]) {
                throw new IllegalArgumentException(
                        "request " + size + " arrives before its predecessor; sort the trace by time");
            }
            if (input < 1 || output < 1) {
                throw new IllegalArgumentException("request " + size + " has " + input + " input and " + output
                        + " output tokens; both must be at least 1");
            }
            if (prefixIds.length > 0 && (long) prefixIds.length * prefixBlockTokens < input) {
                throw new IllegalArgumentException("request " + size + " has " + input + " input tokens but only "
                        + prefixIds.length + " prefix ids of " + prefixBlockTokens + " tokens");
            }
        }

        private int node(int parent, int id) {
            long key = (long) (parent + 1) << 32 | id & 0xFFFFFFFFL;
            long found = known.get(key);
            if (found < 0) {
                found = nodeCount++;
                known.put(key, found);
            }
            return (int) found;
        }

        private void grow() {
            int larger = 2 * size;
            arrivalNanos = Arrays.copyOf(arrivalNanos, larger);
            inputTokens = Arrays.copyOf(inputTokens, larger);
            outputTokens = Arrays.copyOf(outputTokens, larger);
            nodes = Arrays.copyOf(nodes, larger);
        }

        public Trace build() {
            if (size == 0) {
                throw new IllegalArgumentException("trace " + name + " has no requests");
            }
            return new Trace(name, prefixBlockTokens, arrivalNanos, inputTokens, outputTokens, nodes, nodeCount)
                    .head(size);
        }
    }
}
