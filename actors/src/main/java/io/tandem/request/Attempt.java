package io.tandem.request;

import io.tandem.routing.Route;
import io.tandem.worker.WorkerMessage;
import java.util.List;
import java.util.Optional;
import java.util.function.BiPredicate;

/**
 * One dispatch of a request: where it runs, what was told, and whom we heard of since the last look. What was told is kept, to be
 * told again when it was lost.
 */
final class Attempt {
    private final Route route;
    private final RequestTarget target;

    /** Heard of since the last look. */
    private boolean heardDecode = true;

    private boolean heardPrefill = true;
    private RequestEffect push;
    private RequestEffect adopt;
    private boolean prefillEnded;

    /** The prefill worker knows nothing of it, which is as it should be when the transfer is done. */
    private boolean prefillGone;

    private boolean askedSincePrefillGone;

    Attempt(Route route, RequestTarget target) {
        this.route = route;
        this.target = target;
    }

    Route route() {
        return route;
    }

    RequestTarget target() {
        return target;
    }

    int number() {
        return target.attempt();
    }

    boolean decodesOn(String gpuId) {
        return route.decodeGpu().equals(gpuId);
    }

    boolean prefillsOn(String gpuId) {
        return route.prefillGpu().equals(gpuId);
    }

    /** Whether it needs a GPU still; the prefill's only while it is {@code split}. */
    boolean needs(String gpuId, boolean split) {
        return decodesOn(gpuId) || split && prefillsOn(gpuId);
    }

    boolean isEpoch(String gpuId, long epoch) {
        return decodesOn(gpuId) && route.decodeEpoch() == epoch || prefillsOn(gpuId) && route.prefillEpoch() == epoch;
    }

    /** A GPU that it needs and whose incarnation is not there. */
    Optional<String> gone(BiPredicate<String, Long> live, boolean split) {
        if (!live.test(route.decodeGpu(), route.decodeEpoch())) {
            return Optional.of(route.decodeGpu());
        }
        return split && !live.test(route.prefillGpu(), route.prefillEpoch())
                ? Optional.of(route.prefillGpu())
                : Optional.empty();
    }

    /** Its GPUs count it no more. */
    void uncount(List<RequestEffect> effects, boolean split) {
        effects.add(new RequestEffect.Count(route.decodeGpu(), -1));
        if (split) {
            effects.add(new RequestEffect.Count(route.prefillGpu(), -1));
        }
    }

    /** Tells its workers to let go, except the one where the sequence has ended by itself. */
    void letGo(List<RequestEffect> effects, String endedOn, boolean split) {
        if (!decodesOn(endedOn)) {
            effects.add(new RequestEffect.Tell(route.decodeGpu(), new WorkerMessage.CancelWork(target)));
        }
        // A prefill worker whose blocks are adopted lets go by itself, on the receiver's acknowledgement.
        if (split && !prefillsOn(endedOn)) {
            effects.add(new RequestEffect.Tell(route.prefillGpu(), new WorkerMessage.CancelWork(target)));
        }
    }

    void heard(String gpuId) {
        heardDecode |= decodesOn(gpuId);
        heardPrefill |= prefillsOn(gpuId);
    }

    void prefillHasEnded() {
        prefillEnded = true;
    }

    boolean prefillEnded() {
        return prefillEnded;
    }

    /** The decode worker has room: the prefill worker is told where the blocks go, once. */
    void reserved(List<RequestEffect> effects, RequestMessage.KvReserved m) {
        if (push == null) {
            heard(m.gpuId());
            push = new RequestEffect.Tell(
                    route.prefillGpu(),
                    new WorkerMessage.PushKv(target, m.lease(), m.endpoint(), m.cachedBlocks(), m.totalBlocks()));
            effects.add(push);
        }
    }

    /** The prefill worker has chosen a token, and the decode worker is to go on from it. */
    void adopt(List<RequestEffect> effects, int token) {
        adopt = new RequestEffect.Tell(route.decodeGpu(), new WorkerMessage.AdoptKv(target, new int[] {token}));
        effects.add(adopt);
    }

    /** Asks the workers that have been silent since the last look. */
    void askSilent(List<RequestEffect> effects, boolean needsPrefill) {
        if (!heardDecode) {
            effects.add(new RequestEffect.Tell(route.decodeGpu(), new WorkerMessage.AskWork(target)));
            askedSincePrefillGone = prefillGone;
        }
        if (needsPrefill && !heardPrefill) {
            effects.add(new RequestEffect.Tell(route.prefillGpu(), new WorkerMessage.AskWork(target)));
        }
        heardDecode = false;
        heardPrefill = false;
    }

    /** The prefill worker has nothing of it any more. */
    void prefillIsGone() {
        prefillGone = true;
    }

    /** The decode worker answered after the prefill worker had let go, and its blocks are not there: they never will be. */
    boolean transferLost(RequestMessage.WorkState m) {
        return decodesOn(m.gpuId()) && !m.arrived() && askedSincePrefillGone;
    }

    /** What a worker of a split should know and does not is told again. */
    void tellAgain(List<RequestEffect> effects, RequestMessage.WorkState m) {
        if (decodesOn(m.gpuId())) {
            if (!m.adoptTold() && adopt != null) {
                effects.add(adopt);
            }
        } else if (!m.pushTold() && push != null) {
            effects.add(push);
        }
    }
}
