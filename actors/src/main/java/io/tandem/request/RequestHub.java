package io.tandem.request;

import io.tandem.GenerationException;
import io.tandem.TandemClient.GenerationObserver;
import io.tandem.admission.ServiceClass;
import io.tandem.engine.SequenceSpec;
import io.tandem.model.ModelBundle;
import io.tandem.routing.PromptKeys;
import io.tandem.routing.Routed;
import io.tandem.worker.WorkerMessage;
import java.util.List;
import java.util.Optional;
import org.apache.pekko.actor.typed.ActorRef;
import org.apache.pekko.actor.typed.Behavior;
import org.apache.pekko.actor.typed.PreRestart;
import org.apache.pekko.actor.typed.SupervisorStrategy;
import org.apache.pekko.actor.typed.javadsl.AbstractBehavior;
import org.apache.pekko.actor.typed.javadsl.ActorContext;
import org.apache.pekko.actor.typed.javadsl.Behaviors;
import org.apache.pekko.actor.typed.javadsl.Receive;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A node's door for what workers say about its requests: one message a step and worker comes in and is handed to the
 * requests it concerns. Tells workers that go on with a request that is over to stop.
 */
public final class RequestHub extends AbstractBehavior<RequestMessage> {
    private static final Logger LOG = LoggerFactory.getLogger(RequestHub.class);

    /** Events of this node. */
    public sealed interface Local extends RequestMessage {}

    /** A request to run; it was checked already. {@code keys} and {@code session} are for the router; {@code routed} is its first route, where one was booked. */
    public record Launch(
            long requestId,
            String name,
            SequenceSpec spec,
            List<String> stopTexts,
            ModelBundle model,
            PromptKeys keys,
            String session,
            ServiceClass serviceClass,
            long acceptedNanos,
            long timeoutNanos,
            long queuedNanos,
            Optional<Routed> routed,
            GenerationObserver observer)
            implements Local {

        /** The same when it leaves the queue. */
        Launch dispatched(long queued, Optional<Routed> first, GenerationObserver watched) {
            return new Launch(
                    requestId,
                    name,
                    spec,
                    stopTexts,
                    model,
                    keys,
                    session,
                    serviceClass,
                    acceptedNanos,
                    Math.max(0, timeoutNanos - queued),
                    queued,
                    first,
                    watched);
        }
    }

    /** The client wants no more. */
    public record Cancel(long requestId) implements Local {}

    /** A worker is lost. */
    public record WorkerLost(String gpuId, long epoch, String why) implements Local {}

    /** Ends every request: the node goes down. */
    public record EndAll() implements Local {}

    private record RequestOver(long requestId) implements Local {}

    private final RequestServices services;
    private final RequestTable<ActorRef<RequestActor.Message>> requests = new RequestTable<>(new Delivery());

    private RequestHub(ActorContext<RequestMessage> context, RequestServices services) {
        super(context);
        this.services = services;
    }

    public static Behavior<RequestMessage> create(RequestServices services) {
        // A message that cannot be taken ends the requests here, each with its own word, and not those to come.
        return Behaviors.supervise(Behaviors.<RequestMessage>setup(context -> new RequestHub(context, services)))
                .onFailure(RuntimeException.class, SupervisorStrategy.restart());
    }

    @Override
    public Receive<RequestMessage> createReceive() {
        return newReceiveBuilder()
                .onMessage(RequestMessage.FromWorker.class, this::onFromWorker)
                .onMessage(Launch.class, this::onLaunch)
                .onMessage(Cancel.class, m -> forward(m.requestId(), new RequestActor.Cancelled()))
                .onMessage(WorkerLost.class, m -> forwardToAll(new RequestActor.Lost(m.gpuId(), m.epoch(), m.why())))
                .onMessage(EndAll.class, m -> forwardToAll(new RequestActor.Cancelled()))
                .onMessage(RequestOver.class, m -> {
                    requests.remove(m.requestId());
                    services.onRequestOver();
                    return this;
                })
                .onSignal(PreRestart.class, s -> onPreRestart())
                .build();
    }

    /** The requests' actors end with this one, and nobody is told of it any more. */
    private Behavior<RequestMessage> onPreRestart() {
        LOG.error("{} requests of this node are cancelled", requests.all().size());
        requests.all().forEach(request -> services.onRequestOver());
        return this;
    }

    private Behavior<RequestMessage> onLaunch(Launch launch) {
        try {
            ActorRef<RequestActor.Message> request = getContext()
                    .spawn(
                            RequestActor.create(launch, getContext().getSelf(), services),
                            "request-" + launch.requestId());
            requests.add(launch.requestId(), request);
            getContext().watchWith(request, new RequestOver(launch.requestId()));
        } catch (RuntimeException e) {
            services.attemptOver(launch.requestId());
            services.onRequestOver();
            launch.observer().onError(new GenerationException(GenerationException.Kind.INTERNAL, "cannot start: " + e));
        }
        return this;
    }

    private Behavior<RequestMessage> onFromWorker(RequestMessage.FromWorker message) {
        requests.on(message);
        return this;
    }

    private Behavior<RequestMessage> forward(long requestId, RequestActor.Message message) {
        ActorRef<RequestActor.Message> request = requests.get(requestId);
        if (request != null) {
            request.tell(message);
        }
        return this;
    }

    private Behavior<RequestMessage> forwardToAll(RequestActor.Message message) {
        requests.all().forEach(request -> request.tell(message));
        return this;
    }

    /** To the requests' actors, and to workers. */
    private final class Delivery implements RequestTable.Delivery<ActorRef<RequestActor.Message>> {
        @Override
        public void token(ActorRef<RequestActor.Message> request, RequestMessage.Tokens m, int i) {
            boolean logprobs = m.logprobs().length > 0;
            request.tell(new RequestActor.Token(
                    m.gpuId(),
                    m.attempts()[i],
                    m.tokens()[i],
                    m.outputIndex()[i],
                    logprobs ? m.logprobs()[i] : Float.NaN,
                    logprobs ? m.topIds()[i] : null,
                    logprobs ? m.topLogprobs()[i] : null));
        }

        @Override
        public void event(ActorRef<RequestActor.Message> request, RequestMessage.OfRequest message) {
            request.tell(new RequestActor.FromWorker(message));
        }

        @Override
        public void held(ActorRef<RequestActor.Message> request, String gpuId, int attempt) {
            request.tell(new RequestActor.Held(gpuId, attempt));
        }

        @Override
        public void stop(String gpuId, long requestId, int attempt) {
            services.tellWorker(
                    gpuId,
                    new WorkerMessage.CancelWork(new RequestTarget(getContext().getSelf(), requestId, attempt)));
        }
    }
}
