package io.tandem.compute.cuda;

import io.tandem.compute.ForwardBatch;
import io.tandem.compute.cuda.CudaDriver.Stream;
import io.tandem.sampling.SamplingParams;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * What a pass reads besides weights and KV, laid out once: the same offsets on the device and in each pinned copy, so that
 * one copy brings it over and graphs can keep its addresses. Sequence arrays come first: a pass of decodes moves only those.
 */
final class StepInputs {
    /** Positions in the array of counts. */
    private static final int TOKENS = 0;

    private static final int DECODES = 1;
    private static final int PREFILLS = 2;
    private static final int ROWS = 3;
    private static final int SEQUENCES = 4;
    private static final int COUNTS = 16;
    private static final int ROW_INTS = 16;

    static final int FLAG_PENALTIES = 1;
    static final int FLAG_BIASES = 2;
    static final int FLAG_LOGPROB = 4;

    private final int maxSequences;
    private final int maxTokens;
    private final int maxBlocks;
    private final int samplingRows;
    private final int contextLengths;
    private final int queryStarts;
    private final int contextStarts;
    private final int lastTokens;
    private final int choosers;
    private final int decodeIds;
    private final int tokenIds;
    private final int positions;
    private final int tokenSequences;
    private final int ints;

    private final CudaDriver driver;
    private final Stream stream;
    private final long device;
    private final long deviceTables;

    StepInputs(CudaDriver driver, DeviceMemory memory, Stream stream, int maxTokens, int maxSequences, int maxBlocks) {
        this.driver = driver;
        this.stream = stream;
        this.maxTokens = maxTokens;
        this.maxSequences = maxSequences;
        this.maxBlocks = maxBlocks;
        int s = (maxSequences + 1 + 3) / 4 * 4;
        int t = (maxTokens + 3) / 4 * 4;
        samplingRows = COUNTS;
        contextLengths = samplingRows + ROW_INTS * s;
        queryStarts = contextLengths + s;
        contextStarts = queryStarts + s;
        lastTokens = contextStarts + s;
        choosers = lastTokens + s;
        decodeIds = choosers + s;
        tokenIds = decodeIds + s;
        positions = tokenIds + t;
        tokenSequences = positions + t;
        ints = tokenSequences + t;
        device = memory.takeZeroed("step inputs", 4L * ints, stream);
        deviceTables = memory.takeZeroed("step inputs", 4L * maxSequences * maxBlocks, stream);
    }

    /** Pinned memory of one pass in the making. */
    final class Host {
        final MemorySegment arrays = driver.allocatePinned(4L * ints);
        final MemorySegment tables = driver.allocatePinned(4L * maxSequences * maxBlocks);

        /** Sequences of one token at the head of the batch. */
        int decodes;

        /** Sequences behind them. */
        int prefills;

        /** Rows that choose a token, and the sequence of each. */
        int rows;

        final int[] sequenceOfRow = new int[maxSequences];

        /** True when some row draws, so that the most likely token is not all. */
        boolean draws;

        private int widest;

        boolean decodesOnly() {
            return prefills == 0 && rows == decodes;
        }

        /** Takes a batch over. */
        void fill(ForwardBatch batch) {
            decodes = 0;
            while (decodes < batch.sequences && batch.tokenCount[decodes] == 1) {
                decodes++;
            }
            prefills = batch.sequences - decodes;
            rows = 0;
            draws = false;
            widest = 1;
            for (int s = 0; s < batch.sequences; s++) {
                int end = batch.contextStart[s] + batch.tokenCount[s];
                put(contextLengths + s, end);
                put(queryStarts + s, batch.tokenStart[s]);
                put(contextStarts + s, batch.contextStart[s]);
                put(lastTokens + s, batch.tokenStart[s] + batch.tokenCount[s] - 1);
                widest = Math.max(widest, (end + blockTokens() - 1) / blockTokens());
                if (batch.wantsLogits[s]) {
                    sequenceOfRow[rows] = s;
                    put(choosers + rows, s);
                    row(rows++, batch, s, end);
                }
            }
            put(queryStarts + batch.sequences, batch.tokens);
            put(TOKENS, batch.tokens);
            put(DECODES, decodes);
            put(PREFILLS, prefills);
            put(ROWS, rows);
            put(SEQUENCES, batch.sequences);
            tokens(batch);
            tables(batch);
        }

        private void row(int row, ForwardBatch batch, int s, int length) {
            SamplingParams p = batch.samplings[s];
            int at = samplingRows + ROW_INTS * row;
            arrays.set(ValueLayout.JAVA_LONG, 4L * at, p.seed());
            put(at + 2, length - batch.promptTokens[s]);
            put(at + 3, batch.slots[s]);
            real(at + 4, p.temperature());
            put(at + 5, p.topK());
            real(at + 6, p.topP());
            real(at + 7, p.minP());
            real(at + 8, p.repetitionPenalty());
            real(at + 9, p.presencePenalty());
            real(at + 10, p.frequencyPenalty());
            put(at + 11, flags(p));
            draws |= !p.isGreedy();
        }

        private void tokens(ForwardBatch batch) {
            boolean few = decodesOnly();
            int ids = few ? decodeIds : tokenIds;
            for (int s = 0; s < batch.sequences; s++) {
                int end = batch.tokenStart[s] + batch.tokenCount[s];
                for (int t = batch.tokenStart[s]; t < end; t++) {
                    put(ids + t, batch.tokenIds[t]);
                    if (!few) {
                        put(positions + t, batch.positions[t]);
                        put(tokenSequences + t, s);
                    }
                }
            }
        }

        private void tables(ForwardBatch batch) {
            for (int s = 0; s < batch.sequences; s++) {
                int[] table = batch.blockTables[s];
                int used = Math.min(table.length, widest);
                MemorySegment.copy(table, 0, tables, ValueLayout.JAVA_INT, 4L * s * widest, used);
            }
        }

        private void put(int at, int value) {
            arrays.set(ValueLayout.JAVA_INT, 4L * at, value);
        }

        private void real(int at, float value) {
            arrays.set(ValueLayout.JAVA_FLOAT, 4L * at, value);
        }

        /** Sends it to the device, in the stream's order. */
        void send() {
            int used = decodesOnly() ? tokenIds : ints;
            driver.copyToDevice(device, arrays.address(), 4L * used, stream);
            driver.copyRowsToDevice(
                    deviceTables, 4L * maxBlocks, tables.address(), 4L * widest, decodes + prefills, stream);
        }

        void free() {
            driver.freePinned(arrays);
            driver.freePinned(tables);
        }
    }

    static int flags(SamplingParams p) {
        boolean penalties = p.repetitionPenalty() != 1 || p.presencePenalty() != 0 || p.frequencyPenalty() != 0;
        return (penalties ? FLAG_PENALTIES : 0)
                | (p.biases().length > 0 ? FLAG_BIASES : 0)
                | (p.wantsLogprobs() ? FLAG_LOGPROB : 0);
    }

    private static int blockTokens() {
        return CudaBackend.BLOCK_TOKENS;
    }

    int maxTokens() {
        return maxTokens;
    }

    int maxBlocks() {
        return maxBlocks;
    }

    private long at(int index) {
        return device + 4L * index;
    }

    long tokenCount() {
        return at(TOKENS);
    }

    long decodeCount() {
        return at(DECODES);
    }

    long prefillCount() {
        return at(PREFILLS);
    }

    long rowCount() {
        return at(ROWS);
    }

    long samplingRows() {
        return at(samplingRows);
    }

    long contextLengths() {
        return at(contextLengths);
    }

    long queryStarts(int sequence) {
        return at(queryStarts + sequence);
    }

    long contextStarts(int sequence) {
        return at(contextStarts + sequence);
    }

    long sequenceCount() {
        return at(SEQUENCES);
    }

    /** By sequence, the row of its last token. */
    long lastTokens() {
        return at(lastTokens);
    }

    /** By row that chooses a token, its sequence. */
    long choosers() {
        return at(choosers);
    }

    long tokenIds(boolean decodesOnly) {
        return at(decodesOnly ? decodeIds : tokenIds);
    }

    /** Not sent with a pass of decodes only: a position is the context's length less one there. */
    long positions() {
        return at(positions);
    }

    /** Likewise: token and sequence are the same there. */
    long tokenSequences() {
        return at(tokenSequences);
    }

    long blockTables(int sequence) {
        return deviceTables + 4L * maxBlocks * sequence;
    }
}
