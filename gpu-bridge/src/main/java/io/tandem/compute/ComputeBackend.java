package io.tandem.compute;

import io.tandem.kvcache.KvLayout;
import io.tandem.kvcache.KvMemory;
import io.tandem.model.ModelConfig;
import java.time.Duration;

/**
 * The one seam between the engine and what computes: a forward pass over a batch of sequences with paged KV. Used by one
 * thread at a time (the engine's); it may use further threads inside.
 *
 * <p>A backend is batch-invariant when a row's result depends on that row alone, never on the batch, the chunking or the
 * tile; see {@link BackendInfo#batchInvariant()}.
 */
public interface ComputeBackend extends AutoCloseable {

    BackendInfo info();

    ModelConfig model();

    KvLayout kvLayout();

    /**
     * Memory for KV blocks where nothing is said of their number.
     *
     * @param hostBytes what is set for backends that compute in host memory
     * @throws IllegalStateException when there is none, with the figures
     */
    default long kvMemoryBytes(long hostBytes) {
        return hostBytes;
    }

    /** Allocates the KV blocks of this worker. Once in a backend's life; closed by the caller before the backend. */
    KvMemory allocateKv(int blocks);

    /** Largest number of tokens one {@link #forward} takes. */
    int maxBatchTokens();

    /**
     * Computes the batch: writes keys and values of every new token into its blocks, then the logits (or the chosen
     * token) of each sequence that wants them. Synchronous; allocates nothing after warm-up.
     */
    void forward(ForwardBatch batch, KvMemory kv, ForwardOutput output);

    /**
     * Runs batches whose results nobody wants, so that the first request does not pay for compilation. Called once,
     * before {@link #allocateKv}.
     *
     * @param budget about how long; zero = not at all
     */
    default void warmUp(Duration budget) {}

    /**
     * True when {@link #submit} returns before the pass is over, so that the next one can be made ready meanwhile. Such a
     * backend chooses tokens itself, runs passes in the order they came, and has at most two under way.
     */
    default boolean overlapsPasses() {
        return false;
    }

    /** Starts a pass; {@link #await} gives its results. The batch stays as it is until then. */
    default void submit(ForwardBatch batch, KvMemory kv, ForwardOutput output) {
        forward(batch, kv, output);
    }

    /**
     * Waits for the oldest pass that was submitted and not awaited; its output is filled then.
     *
     * @throws DeviceLostException when the device will run no further pass
     */
    default void await() {}

    /** True when the backend fills {@link ForwardOutput#tokens} and leaves the logits alone. */
    default boolean choosesTokens() {
        return false;
    }

    @Override
    void close();
}
