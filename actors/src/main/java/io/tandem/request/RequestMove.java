package io.tandem.request;

import io.tandem.routing.Route;
import io.tandem.transfer.LeaseId;
import io.tandem.worker.WorkerMessage;
import java.util.List;

/**
 * One live move of a request that decodes: the new worker makes room, the old one sends whole blocks while it decodes on, halts,
 * sends the rest, and the new one goes on. Until the new worker has adopted, the old one can go on at any time; the tokens
 * are the same either way. A move in which a message was lost is given up; whoever wanted it asks again.
 */
final class RequestMove {
    private final String from;
    private final long fromEpoch;
    private final RequestTarget source;
    private final Route there;
    private final RequestTarget target;

    /** Output tokens that the new worker knows. */
    private final int known;

    /** Names the move to the old worker; null until it is told. */
    private LeaseId lease;

    private boolean adoptTold;

    /** A look has passed since it began. */
    private boolean old;

    /** The old worker was asked after it was told. */
    private boolean askedSource;

    RequestMove(Attempt here, Route to, RequestTarget target, int known) {
        from = here.route().decodeGpu();
        fromEpoch = here.route().decodeEpoch();
        source = here.target();
        there = new Route(to.decodeGpu(), to.decodeEpoch(), to.decodeGpu(), to.decodeEpoch(), "moved from " + from);
        this.target = target;
        this.known = known;
    }

    String to() {
        return there.decodeGpu();
    }

    long toEpoch() {
        return there.decodeEpoch();
    }

    boolean isAttempt(int attempt) {
        return target.attempt() == attempt;
    }

    /** Whether it is this move that the old worker speaks of, and not one given up before. */
    boolean isLease(LeaseId named) {
        return named.equals(lease);
    }

    /** From the old worker to the new one. */
    Route way() {
        return new Route(from, fromEpoch, to(), toEpoch(), there.reason());
    }

    /** What the request does when the move is done. */
    Attempt attemptThere() {
        return new Attempt(there, target);
    }

    /** The new worker has room. */
    void onReserved(List<RequestEffect> effects, RequestMessage.MoveReserved m) {
        if (lease == null) {
            lease = m.lease();
            effects.add(new RequestEffect.Tell(
                    from,
                    new WorkerMessage.MoveOut(
                            source,
                            m.lease(),
                            m.tailLease(),
                            m.endpoint(),
                            m.cachedBlocks(),
                            m.wholeBlocks(),
                            m.tailBlocks())));
        }
    }

    /** The old worker has halted: the new one is told the tokens it does not know. */
    void onPaused(List<RequestEffect> effects, RequestOutput output) {
        if (!adoptTold) {
            adoptTold = true;
            effects.add(new RequestEffect.Tell(to(), new WorkerMessage.AdoptKv(target, output.from(known))));
        }
    }

    /** Asks both workers, now and then, what they have of it. */
    void ask(List<RequestEffect> effects) {
        if (old) {
            effects.add(new RequestEffect.Tell(to(), new WorkerMessage.AskWork(target)));
            if (lease != null) {
                effects.add(new RequestEffect.Tell(from, new WorkerMessage.AskWork(source)));
                askedSource = true;
            }
        }
        old = true;
    }

    /** Whether the old worker should know of it by now and does not, or has given it up. */
    boolean isLost(RequestMessage.WorkState m) {
        return askedSource && !m.pushTold();
    }

    /** It runs at the new worker. */
    void commit(List<RequestEffect> effects) {
        effects.add(new RequestEffect.Tell(from, new WorkerMessage.CancelWork(source)));
        effects.add(new RequestEffect.Count(from, -1));
    }

    /** It stays at the old worker. */
    void keep(List<RequestEffect> effects, boolean newWorkerKnows) {
        if (lease != null) {
            effects.add(new RequestEffect.Tell(from, new WorkerMessage.KeepWork(source)));
        }
        drop(effects, newWorkerKnows);
    }

    /** The new worker is to forget it. */
    void drop(List<RequestEffect> effects, boolean newWorkerKnows) {
        if (!newWorkerKnows) {
            effects.add(new RequestEffect.Tell(to(), new WorkerMessage.CancelWork(target)));
        }
        effects.add(new RequestEffect.Count(to(), -1));
    }
}
