package io.tandem.supervisor;

import io.tandem.engine.EngineRole;
import io.tandem.serialization.WireMessage;
import org.apache.pekko.actor.typed.ActorRef;

/** What the supervisor receives. */
public sealed interface SupervisorMessage permits SupervisorMessage.Request, SupervisorActor.Internal {

    /** A request of an operator, possibly from another JVM. */
    sealed interface Request extends SupervisorMessage, WireMessage {}

    /** Change a worker's role. */
    record SetRole(String gpuId, EngineRole role, ActorRef<Outcome> replyTo) implements Request {}

    /** Take a worker out of routing, or put it back. */
    record Drain(String gpuId, boolean draining, ActorRef<Outcome> replyTo) implements Request {}

    /**
     * The answer.
     *
     * @param error empty when it was done
     */
    record Outcome(String gpuId, EngineRole role, String error) implements WireMessage {}
}
