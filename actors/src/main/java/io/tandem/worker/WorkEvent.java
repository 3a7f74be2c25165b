package io.tandem.worker;

import io.tandem.engine.EngineListener.RefusalReason;
import io.tandem.engine.EngineRole;
import io.tandem.engine.FinishReason;
import io.tandem.request.RequestMessage;
import io.tandem.transfer.LeaseId;
import io.tandem.transfer.TransferFailure;
import io.tandem.transfer.TransferStats;
import org.apache.pekko.actor.typed.ActorRef;

/** What a {@link WorkBook} hears from its own engine and transport, and of the nodes it works for. */
public sealed interface WorkEvent extends WorkerMessage {

    record HubGone(ActorRef<RequestMessage> hub) implements WorkEvent {}

    /** The process of a node (host:port of its control messages) is dead. */
    record NodeGone(String node) implements WorkEvent {}

    record SequenceEnded(long key, FinishReason reason) implements WorkEvent {}

    record PrefillProgress(long key, int wholeBlocks, int[] blockIds) implements WorkEvent {}

    /** A pass has begun that completes the blocks before an index. */
    record PrefillUnderWay(long key, int endBlock, int[] blockIds, long pass) implements WorkEvent {}

    /** A group of layers of some slots' blocks is in their windows; {@code failure} is empty when all went well. */
    record GroupFilled(OutgoingLease lease, int firstSlot, int slots, int group, String failure) implements WorkEvent {}

    record Reserved(long key, int cachedBlocks, int[] blockIds) implements WorkEvent {}

    record Exported(long exportKey, int[] blockIds) implements WorkEvent {}

    record Paused(long exportKey, int[] blockIds) implements WorkEvent {}

    record RoleRuns(EngineRole role) implements WorkEvent {}

    record EngineRefused(long key, RefusalReason reason, String detail) implements WorkEvent {}

    record Arrived(LeaseId lease, TransferStats stats) implements WorkEvent {}

    record ArrivalFailed(LeaseId lease, TransferFailure failure, TransferStats stats) implements WorkEvent {}

    record Acknowledged(LeaseId lease, long key, TransferStats stats) implements WorkEvent {}

    /** A block is in its window and can be sent; {@code failure} is empty when all went well. */
    record WindowFilled(OutgoingLease lease, int slot, String failure) implements WorkEvent {}

    /** The transport has done with a window. */
    record WindowSent(OutgoingLease lease, int slot) implements WorkEvent {}

    /** Blocks from a slot on are summed up and can be offered; {@code failure} is empty when all went well. */
    record BlocksSummed(OutgoingLease lease, int firstSlot, int[] blocks, long[] sums, String failure)
            implements WorkEvent {}

    /** What landed in windows is in its blocks; {@code failure} is empty when all went well. */
    record BlocksFilled(long key, Landing landing, String failure) implements WorkEvent {}

    record PushFailed(LeaseId lease, long key, TransferFailure failure, TransferStats stats) implements WorkEvent {}
}
