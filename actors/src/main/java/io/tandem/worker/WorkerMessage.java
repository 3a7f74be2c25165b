package io.tandem.worker;

import io.tandem.engine.EngineRole;
import io.tandem.engine.SequenceSpec;
import io.tandem.request.RequestTarget;
import io.tandem.routing.BlockFeedMessage;
import io.tandem.serialization.WireMessage;
import io.tandem.transfer.LeaseId;
import io.tandem.transfer.TransferEndpoint;
import org.apache.pekko.actor.typed.ActorRef;

/** What a worker receives. Work names the worker's epoch: a message for an earlier incarnation is refused. */
public sealed interface WorkerMessage permits WorkerMessage.Remote, WorkEvent, WorkerActor.Internal {

    /** May come from another JVM. */
    sealed interface Remote extends WorkerMessage, WireMessage {}

    /** What is to be done with a sequence. */
    enum Kind {
        /** Prompt and output here. */
        GENERATE,
        /** The prompt and the first token here, the blocks elsewhere. */
        PREFILL,
        /** Set blocks aside for KV from elsewhere, then go on from there. */
        RESERVE,
        /** The same for a sequence that decodes elsewhere meanwhile: there is room for it to grow. */
        MIGRATE
    }

    /** Starts the entity on its node; repeated as a keep-alive. */
    record Wake() implements Remote {}

    /**
     * A sequence to run.
     *
     * @param spec its {@code deadlineNanos} means nothing here: clocks differ between JVMs
     * @param timeLeftMillis until the request's deadline, as a duration: wall clocks may differ by any amount
     */
    record Dispatch(Kind kind, long epoch, RequestTarget target, SequenceSpec spec, long timeLeftMillis)
            implements Remote {}

    /** Tells a prefill worker where the blocks of its sequence go. */
    record PushKv(RequestTarget target, LeaseId lease, TransferEndpoint endpoint, int cachedBlocks, int totalBlocks)
            implements Remote {}

    /** Tells a decode worker the tokens chosen since; it goes on once the blocks are there too. */
    record AdoptKv(RequestTarget target, int[] nextTokens) implements Remote {}

    /**
     * A router wants the worker's block events from a number on (0 = all its prefix cache holds), and those to come. Nothing
     * for an earlier incarnation.
     */
    record FetchBlocks(long epoch, long fromId, ActorRef<BlockFeedMessage> router) implements Remote {}

    /** Asks what is here of a piece of work; answered with {@link io.tandem.request.RequestMessage.WorkState}. */
    record AskWork(RequestTarget target) implements Remote {}

    /**
     * Tells a worker where a sequence that decodes there is to go: whole blocks first, while it runs on, then it is paused
     * and its last blocks follow.
     *
     * @param target of the work here
     * @param lease for the blocks {@code [cachedBlocks, wholeBlocks)}
     * @param tailLease for at most {@code tailBlocks} from there on
     */
    record MoveOut(
            RequestTarget target,
            LeaseId lease,
            LeaseId tailLease,
            TransferEndpoint endpoint,
            int cachedBlocks,
            int wholeBlocks,
            int tailBlocks)
            implements Remote {}

    /** The sequence stays: it goes on here if it was paused. */
    record KeepWork(RequestTarget target) implements Remote {}

    /** Ends a piece of work in any phase. */
    record CancelWork(RequestTarget target) implements Remote {}

    /**
     * Answered with {@link Done} once a turn of the engine ran in the role.
     *
     * @param moveWork what the new role does not want is to run elsewhere: waiting prompts, or running decodes
     */
    record ChangeRole(EngineRole role, boolean moveWork, ActorRef<Done> replyTo) implements Remote {}

    /**
     * Out of routing (answered once nothing is left here) or back into it (answered at once).
     *
     * @param moveWork what runs here is to run elsewhere, rather than to its end
     */
    record SetDraining(boolean draining, boolean moveWork, ActorRef<Done> replyTo) implements Remote {}

    /**
     * It is so now.
     *
     * @param nanos from the command's arrival
     */
    record Done(String gpuId, EngineRole role, boolean draining, long nanos) implements WireMessage {}
}
