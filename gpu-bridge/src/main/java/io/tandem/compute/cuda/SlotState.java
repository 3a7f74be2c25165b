package io.tandem.compute.cuda;

import io.tandem.compute.ForwardBatch;
import io.tandem.compute.cuda.CudaDriver.Event;
import io.tandem.compute.cuda.CudaDriver.Stream;
import io.tandem.model.ModelConfig;
import io.tandem.sampling.SamplingParams;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.function.Consumer;

/**
 * What the device keeps by slot between passes: how often each token was seen, and the biases. Made anew when a slot gets
 * another sequence that needs it; a sequence without penalties and biases costs nothing.
 */
final class SlotState implements AutoCloseable {
    private static final long NOBODY = Long.MIN_VALUE;

    private final CudaDriver driver;
    private final Stream stream;
    private final ForwardKernels forward;
    private final Activations activations;
    private final Consumer<Event> reach;
    private final Event copied;
    private final int vocabSize;
    private final long[] owners;
    private final MemorySegment scratch;

    /** @param reach waits for a mark in the stream, within the patience that passes have */
    SlotState(
            CudaDriver driver,
            Stream stream,
            ForwardKernels forward,
            Activations activations,
            ModelConfig config,
            int maxSequences,
            Consumer<Event> reach) {
        this.driver = driver;
        this.stream = stream;
        this.forward = forward;
        this.activations = activations;
        this.reach = reach;
        copied = driver.createEvent(false);
        vocabSize = config.vocabSize();
        owners = new long[maxSequences];
        Arrays.fill(owners, NOBODY);
        scratch = driver.allocatePinned(4L * Math.max(config.maxContextTokens(), vocabSize));
    }

    /** Enqueues what the rows of a pass need. */
    void prepare(ForwardBatch batch, StepInputs.Host in) {
        for (int r = 0; r < in.rows; r++) {
            int s = in.sequenceOfRow[r];
            int slot = batch.slots[s];
            if (owners[slot] == batch.keys[s]) {
                continue;
            }
            take(slot, batch.keys[s]);
            int flags = StepInputs.flags(batch.samplings[s]);
            if ((flags & StepInputs.FLAG_PENALTIES) != 0) {
                count(slot, batch.histories[s], batch.promptTokens[s], batch.contextStart[s] + batch.tokenCount[s]);
            }
            if ((flags & StepInputs.FLAG_BIASES) != 0) {
                bias(slot, batch.samplings[s]);
            }
        }
    }

    /** A sequence that left a slot and comes back there has chosen tokens since that were not counted in it. */
    private void take(int slot, long key) {
        for (int i = 0; i < owners.length; i++) {
            if (owners[i] == key) {
                owners[i] = NOBODY;
            }
        }
        owners[slot] = key;
    }

    private void count(int slot, int[] tokens, int promptTokens, int length) {
        MemorySegment.copy(tokens, 0, scratch, ValueLayout.JAVA_INT, 0, length);
        driver.copyToDevice(activations.history(), scratch.address(), 4L * length, stream);
        forward.resetPenalties(slot, activations.history(), promptTokens, length);
        awaitCopy();
    }

    private void bias(int slot, SamplingParams p) {
        scratch.asSlice(0, 4L * vocabSize).fill((byte) 0);
        for (int i = 0; i < p.biases().length; i++) {
            long at = 4L * p.biasTokenIds()[i];
            scratch.set(ValueLayout.JAVA_FLOAT, at, scratch.get(ValueLayout.JAVA_FLOAT, at) + p.biases()[i]);
        }
        long row = activations.biases() + 4L * slot * vocabSize;
        driver.copyToDevice(row, scratch.address(), 4L * vocabSize, stream);
        awaitCopy();
    }

    /** The scratch memory is the next one's too. Once a sequence, and only for those with penalties or biases. */
    private void awaitCopy() {
        driver.record(copied, stream);
        reach.accept(copied);
    }

    @Override
    public void close() {
        copied.close();
        driver.freePinned(scratch);
    }
}
