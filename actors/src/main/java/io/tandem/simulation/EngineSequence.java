package io.tandem.simulation;

import java.util.Objects;

/** One request's stay on one engine. */
final class EngineSequence {
    /** What the engine does for it. */
    enum Work {
        /** Prompt and output. */
        WHOLE,
        /** The prompt; ends with its last chunk. */
        PREFILL,
        /** The output, behind a prompt computed elsewhere. */
        DECODE
    }

    final int request;
    final Work work;
    final int inputTokens;
    final int outputTokens;
    private final int[] nodes;
    private final int blocksPerNode;
    private final int blockTokens;

    /** Prompt tokens to compute before the next output token; grows by what was generated when preempted. */
    int promptTokens;
    /** Tokens with KV here. */
    int computed;
    /** Output tokens, those of an earlier engine included. */
    int generated;
    /** Prompt tokens found cached at the first admission; -1 before it. */
    int cachedTokens = -1;
    /** Whole blocks held. */
    int wholeBlocks;
    /** Blocks held that are not whole yet. */
    int openBlocks;

    long firstAdmitNanos = -1;
    /** The stay on the prefill worker, while its blocks are on their way. */
    EngineSequence source;

    long lastTokenNanos;
    private int[] generatedIds = {};

    EngineSequence(int request, Work work, Trace trace, int blockTokens) {
        this.request = request;
        this.work = work;
        this.inputTokens = trace.inputTokens()[request];
        this.outputTokens = trace.outputTokens()[request];
        this.nodes = trace.nodes()[request];
        this.blockTokens = blockTokens;
        this.blocksPerNode = trace.prefixBlockTokens() / blockTokens;
        this.promptTokens = inputTokens;
    }

    int promptBlocks() {
        return inputTokens / blockTokens;
    }

    /** Whether block {@code index} holds prompt only and can be shared. */
    boolean shareable(int index) {
        return index < promptBlocks();
    }

    int promptBlockId(int index) {
        return nodes[index / blocksPerNode] * blocksPerNode + index % blocksPerNode;
    }

    /** The id of whole block {@code index}: of the prompt, or one of its own. */
    int blockId(int index, IdSource generatedBlocks) {
        if (shareable(index)) {
            return promptBlockId(index);
        }
        int at = index - promptBlocks();
        if (at >= generatedIds.length) {
            int[] larger = new int[Math.max(4, 2 * at + 2)];
            System.arraycopy(generatedIds, 0, larger, 0, generatedIds.length);
            generatedIds = larger;
        }
        if (generatedIds[at] == 0) {
            generatedIds[at] = generatedBlocks.next();
        }
        return generatedIds[at];
    }

    EngineSequence takeSource() {
        EngineSequence taken = Objects.requireNonNull(source, "the sequence came from no other worker");
        source = null;
        return taken;
    }

    boolean prefilling() {
        return computed < promptTokens;
    }

    /** Ids of blocks with generated tokens; they are never shared. */
    static final class IdSource {
        private int next = Integer.MIN_VALUE;

        int next() {
            if (next == 0) {
                throw new IllegalStateException("more than 2^31 generated blocks");
            }
            return next++;
        }
    }
}
