package io.tandem.request;

import io.tandem.GenerationException;
import io.tandem.engine.FinishReason;
import io.tandem.routing.Route;
import io.tandem.worker.WorkerMessage;

/** What {@link RequestLifecycle} wants done; carried out by {@link RequestActor} in order. */
public sealed interface RequestEffect {

    /** Tell a worker. */
    record Tell(String gpuId, WorkerMessage.Remote message) implements RequestEffect {}

    /** Count work given to a GPU (+1) or over (-1). */
    record Count(String gpuId, int change) implements RequestEffect {}

    /** New output token {@code index}. */
    record Emit(int index, int token, float logprob, int[] topIds, float[] topLogprobs) implements RequestEffect {}

    /** Route again after a while. */
    record RetryLater() implements RequestEffect {}

    /** Route again now. */
    record Reroute() implements RequestEffect {}

    /** No blocks found a way between the two workers of a route. */
    record Parted(Route route) implements RequestEffect {}

    /**
     * Look for another worker to decode on.
     *
     * @param contextTokens prompt and output so far
     * @param tokensMax prompt and output at most
     */
    record FindMove(String fromGpu, int contextTokens, int tokensMax) implements RequestEffect {}

    /** It decodes on another worker now. */
    record Moved(String decodeGpu) implements RequestEffect {}

    /** The one terminal state: finished. */
    record Finish(FinishReason reason) implements RequestEffect {}

    /** The one terminal state: failed. */
    record Fail(GenerationException.Kind kind, String message) implements RequestEffect {}
}
