package io.tandem.request;

import io.tandem.engine.FinishReason;
import java.util.Collection;
import java.util.HashMap;
import java.util.Map;

/**
 * The requests of one node and the rule for what workers say about them: it goes to the request it concerns, and a worker
 * that goes on with a request that is over is told to stop. Plain state; {@link RequestHub} is the actor around.
 *
 * @param <R> how a request is reached
 */
public final class RequestTable<R> {

    /** Carries out what the table decides. */
    public interface Delivery<R> {
        /** Token {@code i} of the message is for that request. */
        void token(R request, RequestMessage.Tokens message, int i);

        void event(R request, RequestMessage.OfRequest message);

        /** A worker has something of that attempt. */
        void held(R request, String gpuId, int attempt);

        /** The worker is to let go of that attempt. */
        void stop(String gpuId, long requestId, int attempt);
    }

    private final Map<Long, R> requests = new HashMap<>();
    private final Delivery<R> delivery;

    public RequestTable(Delivery<R> delivery) {
        this.delivery = delivery;
    }

    public void add(long requestId, R request) {
        requests.put(requestId, request);
    }

    public void remove(long requestId) {
        requests.remove(requestId);
    }

    /** The request, or null when it is over. */
    public R get(long requestId) {
        return requests.get(requestId);
    }

    public Collection<R> all() {
        return requests.values();
    }

    public void on(RequestMessage.FromWorker message) {
        switch (message) {
            case RequestMessage.Tokens m -> onTokens(m);
            case RequestMessage.Holding m -> onHolding(m);
            case RequestMessage.OfRequest m -> onOfRequest(m);
        }
    }

    private void onTokens(RequestMessage.Tokens m) {
        for (int i = 0; i < m.requestIds().length; i++) {
            R request = requests.get(m.requestIds()[i]);
            if (request == null) {
                delivery.stop(m.gpuId(), m.requestIds()[i], m.attempts()[i]);
            } else {
                delivery.token(request, m, i);
            }
        }
    }

    private void onHolding(RequestMessage.Holding m) {
        for (int i = 0; i < m.requestIds().length; i++) {
            R request = requests.get(m.requestIds()[i]);
            if (request == null) {
                delivery.stop(m.gpuId(), m.requestIds()[i], m.attempts()[i]);
            } else {
                delivery.held(request, m.gpuId(), m.attempts()[i]);
            }
        }
    }

    private void onOfRequest(RequestMessage.OfRequest m) {
        R request = requests.get(m.requestId());
        if (request != null) {
            delivery.event(request, m);
        } else if (stillHeld(m)) {
            delivery.stop(m.gpuId(), m.requestId(), m.attempt());
        }
    }

    private static boolean stillHeld(RequestMessage.OfRequest message) {
        return switch (message) {
            case RequestMessage.Refused ignored -> false;
            case RequestMessage.KvFailed ignored -> false;
            case RequestMessage.WorkState m -> m.known();
            case RequestMessage.Ended m -> m.reason() == FinishReason.PREFILLED;
            case RequestMessage.KvReserved ignored -> true;
            case RequestMessage.KvAdopted ignored -> true;
            case RequestMessage.MoveAway ignored -> true;
            case RequestMessage.MoveReserved ignored -> true;
            case RequestMessage.Paused ignored -> true;
            case RequestMessage.MoveFailed ignored -> true;
        };
    }
}
