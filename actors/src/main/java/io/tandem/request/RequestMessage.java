package io.tandem.request;

import io.tandem.engine.EngineListener.RefusalReason;
import io.tandem.engine.FinishReason;
import io.tandem.engine.SequenceStats;
import io.tandem.serialization.WireMessage;
import io.tandem.transfer.LeaseId;
import io.tandem.transfer.TransferEndpoint;
import io.tandem.transfer.TransferFailure;
import io.tandem.transfer.TransferStats;

/** What a node's {@link RequestHub} receives about its requests. */
public sealed interface RequestMessage permits RequestMessage.FromWorker, RequestHub.Local {

    /** From a worker, possibly in another JVM. */
    sealed interface FromWorker extends RequestMessage, WireMessage {
        String gpuId();
    }

    /** About one request. */
    sealed interface OfRequest extends FromWorker {
        long requestId();

        int attempt();
    }

    /**
     * All tokens one step chose for the requests of one node, as parallel arrays. {@code logprobs} and what follows are
     * empty when nobody asked for log-probabilities.
     */
    record Tokens(
            String gpuId,
            long[] requestIds,
            int[] attempts,
            int[] tokens,
            int[] outputIndex,
            float[] logprobs,
            int[][] topIds,
            float[][] topLogprobs)
            implements FromWorker {}

    /**
     * The sequence is over on that worker; PREFILLED means that its blocks wait there for their transfer.
     *
     * @param publishedTokens index of the last token told, plus one; 0 = none
     */
    record Ended(
            String gpuId,
            long requestId,
            int attempt,
            FinishReason reason,
            SequenceStats stats,
            String detail,
            int publishedTokens)
            implements OfRequest {}

    /**
     * Answer to {@link io.tandem.worker.WorkerMessage.AskWork}: what this worker has of that attempt. Comes after all else
     * that the worker said about it before, so what is missing then is lost.
     *
     * @param known whether the work is here
     * @param publishedTokens index of the last token told, plus one; 0 = none
     * @param pushTold whether a prefill knows where its blocks go, or a sequence that decodes is on its way elsewhere
     * @param adoptTold whether a reservation knows the tokens chosen since
     * @param arrived whether a reservation's blocks are all here
     */
    record WorkState(
            String gpuId,
            long requestId,
            int attempt,
            boolean known,
            int publishedTokens,
            boolean pushTold,
            boolean adoptTold,
            boolean arrived)
            implements OfRequest {}

    /** All that this worker has for the node, said now and then: work whose cancellation was lost is cancelled again. */
    record Holding(String gpuId, long[] requestIds, int[] attempts) implements FromWorker {}

    /** The decode worker has room: push the blocks {@code [cachedBlocks, totalBlocks)} there. */
    record KvReserved(
            String gpuId,
            long requestId,
            int attempt,
            LeaseId lease,
            TransferEndpoint endpoint,
            int cachedBlocks,
            int totalBlocks)
            implements OfRequest {}

    /** The decode worker has all blocks and goes on from them. */
    record KvAdopted(String gpuId, long requestId, int attempt, TransferStats stats) implements OfRequest {}

    /** Blocks did not arrive whole; nothing of them is used. */
    record KvFailed(String gpuId, long requestId, int attempt, TransferFailure failure, TransferStats stats)
            implements OfRequest {}

    /** The worker would rather have this sequence elsewhere: it is drained, or has another role now. */
    record MoveAway(String gpuId, long requestId, int attempt) implements OfRequest {}

    /** The new worker has room: the old one may send. See {@link io.tandem.worker.WorkerMessage.MoveOut}. */
    record MoveReserved(
            String gpuId,
            long requestId,
            int attempt,
            LeaseId lease,
            LeaseId tailLease,
            TransferEndpoint endpoint,
            int cachedBlocks,
            int wholeBlocks,
            int tailBlocks)
            implements OfRequest {}

    /**
     * The old worker has halted the sequence, which has that many output tokens, and sends its last blocks.
     *
     * @param lease of the move, as in {@link MoveReserved}
     */
    record Paused(String gpuId, long requestId, int attempt, LeaseId lease, int outputTokens) implements OfRequest {}

    /**
     * The old worker gave the move up; the sequence goes on there.
     *
     * @param lease of the move, as in {@link MoveReserved}
     * @param noWay no blocks found a way to the new worker
     */
    record MoveFailed(String gpuId, long requestId, int attempt, LeaseId lease, boolean noWay, String reason)
            implements OfRequest {}

    /** The worker does not take the work; nothing is held there. */
    record Refused(String gpuId, long requestId, int attempt, RefusalReason reason, String detail)
            implements OfRequest {}
}
