package io.tandem.request;

import io.tandem.worker.WorkerMessage;
import java.util.Arrays;
import java.util.List;

/**
 * One live move of a request that decodes: the new worker makes room, the old one sends whole blocks while it decodes on, halts,
 * sends the rest, and the new one goes on. Until the new worker has adopted, the old one can go on at any time; the tokens
 * are the same either way.
 */
final class RequestMove {
    private final String from;
    private final RequestTarget source;
    private final String to;
    private final long toEpoch;
    private final RequestTarget target;

    /** Output tokens that the new worker knows. */
    private final int known;

    private boolean sourceTold;
    private boolean adoptTold;

    RequestMove(String from, RequestTarget source, String to, long toEpoch, RequestTarget target, int known) {
        this.from = from;
        this.source = source;
        this.to = to;
        this.toEpoch = toEpoch;
        this.target = target;
        this.known = known;
    }

    String to() {
        return to;
    }

    long toEpoch() {
        return toEpoch;
    }

    RequestTarget target() {
        return target;
    }

    boolean isAttempt(int attempt) {
        return target.attempt() == attempt;
    }

    /** The new worker has room. */
    void onReserved(List<RequestEffect> effects, RequestMessage.MoveReserved m) {
        if (!sourceTold) {
            sourceTold = true;
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
    void onPaused(List<RequestEffect> effects, int[] output, int outputTokens) {
        if (!adoptTold) {
            adoptTold = true;
            int[] next = Arrays.copyOfRange(output, known, outputTokens);
            effects.add(new RequestEffect.Tell(to, new WorkerMessage.AdoptKv(target, next)));
        }
    }

    /** It runs at the new worker. */
    void commit(List<RequestEffect> effects) {
        effects.add(new RequestEffect.Tell(from, new WorkerMessage.CancelWork(source)));
        effects.add(new RequestEffect.Count(from, -1));
    }

    /** It stays at the old worker. */
    void keep(List<RequestEffect> effects, boolean newWorkerKnows) {
        if (sourceTold) {
            effects.add(new RequestEffect.Tell(from, new WorkerMessage.KeepWork(source)));
        }
        drop(effects, newWorkerKnows);
    }

    /** The new worker is to forget it. */
    void drop(List<RequestEffect> effects, boolean newWorkerKnows) {
        if (!newWorkerKnows) {
            effects.add(new RequestEffect.Tell(to, new WorkerMessage.CancelWork(target)));
        }
        effects.add(new RequestEffect.Count(to, -1));
    }
}
