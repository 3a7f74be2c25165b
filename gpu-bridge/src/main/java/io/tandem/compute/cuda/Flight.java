package io.tandem.compute.cuda;

import io.tandem.compute.ForwardBatch;
import io.tandem.compute.ForwardOutput;
import io.tandem.compute.cuda.CudaDriver.Event;
import io.tandem.compute.cuda.CudaDriver.Stream;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** One pass under way: its pinned inputs, the pinned memory its results come to, and the mark behind it. */
final class Flight {
    private static final MemorySegment NONE = MemorySegment.NULL;

    final StepInputs.Host inputs;
    final Event over;
    private final CudaDriver driver;
    private final Stream stream;
    private final Activations activations;
    private final MemorySegment results;
    private final long resultBytes;
    private final int vocabSize;
    private final int maxSequences;
    private MemorySegment logits = NONE;
    private boolean wantsRows;
    private final boolean[] rowWanted;
    private ForwardOutput output;

    Flight(
            CudaDriver driver,
            Stream stream,
            StepInputs layout,
            Activations activations,
            int vocabSize,
            int maxSequences) {
        this.driver = driver;
        this.stream = stream;
        this.activations = activations;
        this.vocabSize = vocabSize;
        this.maxSequences = maxSequences;
        inputs = layout.new Host();
        over = driver.createEvent(false);
        resultBytes = activations.logprobs() - activations.tokens() + 4L * maxSequences;
        results = driver.allocatePinned(resultBytes);
        rowWanted = new boolean[maxSequences];
    }

    /** Notes which logits are to come along: those of rows that want top log-probabilities, or all where the caller wants them. */
    void begin(ForwardBatch batch, ForwardOutput into) {
        output = into;
        wantsRows = false;
        for (int r = 0; r < inputs.rows; r++) {
            int s = inputs.sequenceOfRow[r];
            rowWanted[r] = batch.samplings[s].topLogprobs() > 0 || into.withLogits;
            wantsRows |= rowWanted[r];
        }
    }

    /** Enqueues the way back. */
    void fetch() {
        if (inputs.rows > 0) {
            driver.copyToHost(results.address(), activations.tokens(), resultBytes, stream);
        }
        if (wantsRows) {
            fetchLogits();
        }
        driver.record(over, stream);
    }

    private void fetchLogits() {
        long rowBytes = 4L * vocabSize;
        if (logits.equals(NONE)) {
            logits = driver.allocatePinned(rowBytes * maxSequences);
        }
        for (int r = 0; r < inputs.rows; r++) {
            if (rowWanted[r]) {
                driver.copyToHost(
                        logits.address() + r * rowBytes, activations.logits() + r * rowBytes, rowBytes, stream);
            }
        }
    }

    /** Hands the results out; the pass is over. */
    void deliver() {
        long logprobs = activations.logprobs() - activations.tokens();
        for (int r = 0; r < inputs.rows; r++) {
            int s = inputs.sequenceOfRow[r];
            output.tokens[s] = results.get(ValueLayout.JAVA_INT, 4L * r);
            output.logprobs[s] = results.get(ValueLayout.JAVA_FLOAT, logprobs + 4L * r);
            if (rowWanted[r]) {
                if (output.logits[s].length < vocabSize) {
                    output.logits[s] = new float[vocabSize];
                }
                MemorySegment.copy(logits, ValueLayout.JAVA_FLOAT, 4L * r * vocabSize, output.logits[s], 0, vocabSize);
            }
        }
        output = null;
    }

    void free() {
        inputs.free();
        driver.freePinned(results);
        if (!logits.equals(NONE)) {
            driver.freePinned(logits);
        }
        over.close();
    }
}
