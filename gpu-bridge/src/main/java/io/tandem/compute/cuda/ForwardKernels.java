package io.tandem.compute.cuda;

import io.tandem.compute.cuda.DeviceWeights.Layer;
import io.tandem.compute.cuda.Products.Weight;
import io.tandem.kvcache.KvLayout;
import io.tandem.model.ModelConfig;

/**
 * The forward pass of the Llama-like families as a sequence of launches: embedding, layers, head, choice of tokens. Enqueues
 * only; used as it is for passes with prompts, and under capture for decodes.
 */
final class ForwardKernels {
    private static final int MAX_SPLITS = 64;
    private static final int MAX_CLUSTER_HEAD_DIM = 128;
    private static final int MAX_COPIED_HEAD_DIM = 128;
    /** Rows from which the product with its gate in one kernel is faster than the two. */
    private static final int MIN_GATED_ROWS = 1024;

    private static final KernelName[] CLUSTERS = {
        KernelName.ATTENTION_DECODE_CLUSTER_8,
        KernelName.ATTENTION_DECODE_CLUSTER_4,
        KernelName.ATTENTION_DECODE_CLUSTER_2
    };
    /** Columns that a block of {@code silu_mul} takes. */
    private static final int SILU_COLUMNS = 2048;

    private final ModelConfig config;
    private final Kernels kernels;
    private final Products products;
    private final DeviceWeights weights;
    private final StepInputs inputs;
    private final Activations a;
    /** For the kernels that read by the copy engine; null where the device has none. */
    private final CopyMaps maps;

    private final KvLayout layout;
    private final Weight qkv;
    private final Weight output;
    private final Weight gateUp;
    private final Weight down;
    private final Weight head;
    private final int multiprocessors;
    private final float scale;
    private final int prefillTile;
    private final int samplingChunks;

    private long kvBase;
    private boolean copiesKv;
    private LayerMarks marks;

    ForwardKernels(
            ModelConfig config,
            DeviceFacts device,
            Kernels kernels,
            Products products,
            DeviceWeights weights,
            StepInputs inputs,
            Activations activations,
            CopyMaps maps,
            KvLayout layout) {
        this.config = config;
        this.kernels = kernels;
        this.products = products;
        this.weights = weights;
        this.inputs = inputs;
        a = activations;
        this.maps = maps;
        this.layout = layout;
        multiprocessors = device.multiprocessors();
        int rows = Products.paddedRows(inputs.maxTokens());
        int heads = config.heads() + 2 * config.kvHeads();
        qkv = products.weight(heads * config.headDim(), config.hiddenSize(), false, rows);
        output = products.weight(config.hiddenSize(), config.queryWidth(), false, rows);
        gateUp = products.weight(2 * config.intermediateSize(), config.hiddenSize(), false, rows);
        down = products.weight(config.hiddenSize(), config.intermediateSize(), false, rows);
        head = products.weight(config.vocabSize(), config.hiddenSize(), true, rows);
        scale = (float) (1 / Math.sqrt(config.headDim()));
        prefillTile = kernels.figure(KernelName.ATTENTION_PREFILL, "tileM");
        samplingChunks = kernels.figure("sampling.chunks");
    }

    /** Where the KV blocks begin. */
    void kv(long address, int blocks) {
        kvBase = address;
        copiesKv = maps != null && config.headDim() <= MAX_COPIED_HEAD_DIM && CopyMaps.reaches(layout, blocks);
        if (copiesKv) {
            maps.kv(address, blocks);
        }
    }

    /** To be set behind the layers of passes with prompts. */
    void marks(LayerMarks behindLayers) {
        marks = behindLayers;
    }

    /**
     * A pass over sequences of one token that all choose the next one.
     *
     * @param bucket sequences at most; the count on the device says how many live
     */
    void decode(int bucket) {
        kernels.afterCopy();
        decodeLayers(bucket);
        norm(a.lastRows(), a.residual(), weights.finalNorm, inputs.tokenCount(), bucket);
        headAndChoice(bucket);
    }

    /** A pass over {@code decodes} sequences of one token and {@code prefills} of more; {@code rows} choose a token. */
    void mixed(int tokens, int decodes, int prefills, int prefillTokens, int rows) {
        kernels.afterCopy();
        embed(inputs.tokenIds(false), tokens);
        int last = weights.layers.length - 1;
        for (int i = 0; i <= last; i++) {
            Layer layer = weights.layers[i];
            project(layer, tokens);
            ropeAndWrite(layer, i, tokens);
            if (marks != null && marks.written(i)) {
                kernels.afterCopy();
            }
            if (i == last) {
                break;
            }
            if (decodes > 0) {
                attendOne(a.attended(), a.queries(), i, decodes, inputs.decodeCount());
            }
            if (prefills > 0) {
                attendMany(i, decodes, prefills, prefillTokens);
            }
            behindAttention(layer, i, a.residual(), a.attended(), inputs.tokenCount(), tokens);
        }
        if (rows > 0) {
            endOfLastLayer(decodes + prefills);
            gather(a.normed(), a.lastRows(), inputs.choosers(), inputs.rowCount(), rows, config.hiddenSize());
            norm(a.lastRows(), a.normed(), weights.finalNorm, inputs.rowCount(), rows);
            headAndChoice(rows);
        }
    }

    private void decodeLayers(int sequences) {
        long count = inputs.tokenCount();
        embed(inputs.tokenIds(true), sequences);
        for (int i = 0; i < weights.layers.length; i++) {
            Layer layer = weights.layers[i];
            project(layer, sequences);
            ropeAndAttend(layer, i, sequences);
            behindAttention(layer, i, a.residual(), a.attended(), count, sequences);
        }
    }

    /**
     * Nobody asks what the last layer makes of a token that is not its sequence's last: behind keys and values only those go on,
     * in {@code lastRows}. That spares a prompt nine tenths of that layer.
     */
    private void endOfLastLayer(int sequences) {
        int index = weights.layers.length - 1;
        long count = inputs.sequenceCount();
        gather(a.attended(), a.queries(), inputs.lastTokens(), count, sequences, config.queryWidth());
        gather(a.lastRows(), a.residual(), inputs.lastTokens(), count, sequences, config.hiddenSize());
        attendOne(a.queries(), a.attended(), index, sequences, count);
        behindAttention(weights.layers[index], index, a.lastRows(), a.queries(), count, sequences);
    }

    private void embed(long ids, int tokens) {
        kernels.call(KernelName.EMBED_GATHER)
                .address(a.residual())
                .address(weights.embedding)
                .address(ids)
                .address(a.lastTokens())
                .address(inputs.tokenCount())
                .number(config.hiddenSize())
                .number(config.vocabSize())
                .on(tokens);
    }

    private void gather(long out, long in, long rowNumbers, long count, int rows, int width) {
        kernels.call(KernelName.GATHER_ROWS)
                .address(out)
                .address(in)
                .address(rowNumbers)
                .address(count)
                .number(width)
                .on(rows);
    }

    /** Queries, keys and values of the residual's rows. */
    private void project(Layer layer, int tokens) {
        norm(a.normed(), a.residual(), layer.attentionNorm(), inputs.tokenCount(), tokens);
        products.multiply(qkv, a.qkv(), a.normed(), layer.qkv(), false, inputs.tokenCount(), tokens, 0);
    }

    /** Adds to a residual what attention and then the MLP make of it. */
    private void behindAttention(Layer layer, int index, long residual, long attended, long count, int rows) {
        products.multiply(output, residual, attended, layer.output(), true, count, rows, 0);
        norm(a.normed(), residual, layer.mlpNorm(), count, rows);
        mlp(layer, index, residual, count, rows);
    }

    private void norm(long out, long in, long weight, long count, int rows) {
        kernels.call(KernelName.RMSNORM)
                .address(out)
                .address(in)
                .address(weight)
                .address(count)
                .number(config.hiddenSize())
                .real(config.normEps())
                .on(rows);
    }

    private void ropeAndWrite(Layer layer, int index, int tokens) {
        kernels.call(KernelName.QKV_ROPE_WRITE)
                .address(a.queries())
                .address(kvBase)
                .address(a.qkv())
                .address(layer.qkvBias())
                .address(layer.queryNorm())
                .address(layer.keyNorm())
                .address(weights.frequencies)
                .address(inputs.positions())
                .address(inputs.tokenSequences())
                .address(inputs.blockTables(0))
                .address(inputs.tokenCount())
                .number(config.heads())
                .number(config.kvHeads())
                .number(config.headDim())
                .number(inputs.maxBlocks())
                .wide(layout.blockBytes())
                .wide(index * layout.layerBytes())
                .real(config.normEps())
                .real(1)
                .on(tokens);
    }

    /** Blocks that share the context of a sequence and KV head: enough of them to have two on each multiprocessor. */
    private int splits(int sequences) {
        long pairs = (long) config.kvHeads() * sequences;
        return Math.clamp((2L * multiprocessors + pairs - 1) / pairs, 1, MAX_SPLITS);
    }

    /**
     * The kernel for attention of so many sequences by the largest clusters of blocks that all find room on the device at once;
     * null when none do, or the device or the model's heads do not allow it.
     */
    private KernelName cluster(int sequences) {
        int partFloats = config.heads() / config.kvHeads() * (config.headDim() + 2);
        for (KernelName kernel : CLUSTERS) {
            if (kernels.has(kernel)
                    && config.headDim() <= MAX_CLUSTER_HEAD_DIM
                    && partFloats <= kernels.figure(kernel, "headFloats")
                    && (long) config.kvHeads() * sequences * kernels.figure(kernel, "splits") <= multiprocessors) {
                return kernel;
            }
        }
        return null;
    }

    /** The two in one, for passes of one token a sequence: by clusters of blocks where all of them find room at once. */
    private void ropeAndAttend(Layer layer, int index, int sequences) {
        KernelName cluster = cluster(sequences);
        kernels.call(cluster != null ? cluster : KernelName.ATTENTION_DECODE_ROPE)
                .address(a.attended())
                .address(kvBase)
                .address(a.qkv())
                .address(layer.qkvBias())
                .address(layer.queryNorm())
                .address(layer.keyNorm())
                .address(weights.frequencies)
                .address(inputs.blockTables(0))
                .address(inputs.contextLengths())
                .address(a.workspace())
                .address(inputs.tokenCount());
        heads(index)
                .real(config.normEps())
                .real(1)
                .on(
                        cluster != null ? kernels.figure(cluster, "splits") : splits(sequences),
                        config.kvHeads(),
                        sequences);
    }

    /** Shape and place of the keys and values: what all attention kernels are told after their addresses. */
    private Kernels heads(int layer) {
        return kernels.number(config.heads())
                .number(config.kvHeads())
                .number(config.headDim())
                .number(inputs.maxBlocks())
                .wide(layout.blockBytes())
                .wide(layer * layout.layerBytes())
                .real(scale);
    }

    /** Attention of one token a sequence, the last of its context. */
    private void attendOne(long out, long in, int layer, int sequences, long count) {
        kernels.call(KernelName.ATTENTION_DECODE)
                .address(out)
                .address(in)
                .address(kvBase)
                .address(inputs.blockTables(0))
                .address(inputs.contextLengths())
                .address(a.workspace())
                .address(count);
        heads(layer).on(splits(sequences), config.kvHeads(), sequences);
    }

    private void attendMany(int layer, int first, int sequences, int tokens) {
        if (copiesKv) {
            attendByCopyEngine(layer, first, sequences, tokens);
            return;
        }
        kernels.call(KernelName.ATTENTION_PREFILL)
                .address(a.attended())
                .address(a.queries())
                .address(kvBase)
                .address(inputs.blockTables(first))
                .address(inputs.queryStarts(first))
                .address(inputs.contextStarts(first))
                .address(inputs.prefillCount())
                .number(sequences);
        heads(layer).on((tokens + prefillTile - 1) / prefillTile + sequences, config.heads());
    }

    /**
     * The blocks stay and take pieces of work, so there are as many as find room, or pieces. Two of them share keys and values
     * where a KV head has an even number of heads.
     */
    private void attendByCopyEngine(int layer, int first, int sequences, int tokens) {
        int together = config.heads() / config.kvHeads() % 2 == 0 ? 2 : 1;
        long pieces = (long) (tokens / prefillTile + sequences) * config.heads();
        int blocks = (int) Math.min(multiprocessors, pieces) / together * together;
        kernels.call(together == 2 ? KernelName.ATTENTION_PREFILL_TMA_2 : KernelName.ATTENTION_PREFILL_TMA)
                .address(a.attended())
                .address(maps.queries())
                .address(maps.keysAndValues())
                .address(inputs.blockTables(first))
                .address(inputs.queryStarts(first))
                .address(inputs.contextStarts(first))
                .address(a.workspace())
                .address(inputs.prefillCount())
                .number(sequences);
        heads(layer).on(blocks);
    }

    private void mlp(Layer layer, int index, long residual, long count, int tokens) {
        if (products.isSkinny(tokens)) {
            products.multiply(gateUp, a.gated(), a.normed(), layer.gateUp(), false, count, tokens, Products.SILU_MUL);
        } else if (maps != null && tokens >= MIN_GATED_ROWS) {
            kernels.call(KernelName.GEMM_GATED)
                    .address(a.gated())
                    .address(maps.normed())
                    .address(maps.gateUp(index))
                    .address(count)
                    .number(tokens)
                    .number(gateUp.n)
                    .number(gateUp.k)
                    .number(Products.SILU_MUL)
                    .on(multiprocessors / 2 * 2);
        } else {
            products.multiply(gateUp, a.gateUp(), a.normed(), layer.gateUp(), false, count, tokens, 0);
            kernels.call(KernelName.SILU_MUL)
                    .address(a.gated())
                    .address(a.gateUp())
                    .address(count)
                    .number(config.intermediateSize())
                    .on((config.intermediateSize() + SILU_COLUMNS - 1) / SILU_COLUMNS, tokens);
        }
        products.multiply(down, residual, a.gated(), layer.down(), true, count, tokens, 0);
    }

    private void headAndChoice(int rows) {
        products.multiply(
                head, a.logits(), a.lastRows(), weights.head, false, inputs.rowCount(), rows, Products.FLOAT_OUTPUT);
        choose(KernelName.SAMPLE_MAX, rows);
    }

    /** Replaces the most likely token by a drawn one in the rows that are not greedy. */
    void draw(int rows) {
        choose(KernelName.SAMPLE_DRAW, rows);
    }

    private void choose(KernelName kernel, int rows) {
        kernels.call(kernel)
                .address(a.tokens())
                .address(a.logprobs())
                .address(a.logits())
                .address(inputs.samplingRows())
                .address(a.penalties())
                .address(a.biases())
                .address(a.lastTokens())
                .address(a.samplingWorkspace())
                .address(inputs.rowCount())
                .number(config.vocabSize())
                .on(samplingChunks, rows);
    }

    /** Counts a sequence's tokens anew in the penalty state of its slot. */
    void resetPenalties(int slot, long tokens, int promptTokens, int length) {
        kernels.afterCopy();
        kernels.call(KernelName.PENALTY_RESET)
                .address(a.penalties())
                .address(tokens)
                .number(slot)
                .number(promptTokens)
                .number(length)
                .number(config.vocabSize())
                .on(64);
    }
}
