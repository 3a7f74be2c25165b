package io.tandem.worker;

import io.tandem.engine.EngineListener.RefusalReason;
import io.tandem.request.RequestMessage;
import io.tandem.request.RequestTarget;
import org.apache.pekko.actor.typed.Behavior;
import org.apache.pekko.actor.typed.javadsl.Behaviors;

/** Stands where a GPU was lost for good, until its node has stopped: work is refused at once, so that it goes elsewhere at once. */
final class GoneWorker {
    private GoneWorker() {}

    /** @param why for people */
    static Behavior<WorkerMessage> create(String gpuId, String why) {
        return Behaviors.receive(WorkerMessage.class)
                .onMessage(WorkerMessage.Dispatch.class, m -> {
                    RequestTarget t = m.target();
                    t.hub()
                            .tell(new RequestMessage.Refused(
                                    gpuId,
                                    t.requestId(),
                                    t.attempt(),
                                    RefusalReason.QUEUE_FULL,
                                    "the GPU is lost: " + why));
                    return Behaviors.same();
                })
                .onMessage(WorkerActor.stopMessage().getClass(), m -> Behaviors.stopped())
                .onAnyMessage(m -> Behaviors.same())
                .build();
    }
}
