package io.tandem.request;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.tandem.engine.EngineListener.RefusalReason;
import io.tandem.engine.FinishReason;
import io.tandem.engine.SequenceSpec;
import io.tandem.engine.SequenceStats;
import io.tandem.request.RequestLifecycle.Phase;
import io.tandem.routing.Route;
import io.tandem.sampling.SamplingParams;
import io.tandem.transfer.LeaseId;
import io.tandem.transfer.TransferEndpoint;
import io.tandem.transfer.TransferFailure;
import io.tandem.transfer.TransferStats;
import io.tandem.worker.WorkerMessage;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;

/** Live moves as the owner of the request sees them: whatever fails, one worker goes on and no count is left over. */
class RequestMoveTest {
    private static final Route OLD = new Route("old", 1, "old", 1, "test");
    private static final Route NEW = new Route("new", 2, "new", 2, "test");
    private static final TransferStats STATS = new TransferStats(1, 64, 9, 0);

    /** Of three tokens of prompt and two of output; eight would be the most. */
    private static final RequestEffect FIND = new RequestEffect.FindMove("old", 5, 11);

    private static final LeaseId LEASE = new LeaseId(7, 2);

    private final RequestLifecycle life = new RequestLifecycle(
            new SequenceSpec(new int[] {5, 6, 7}, 3, 8, SamplingParams.greedy(), new int[] {0}, 0, 0), 5);
    private final Map<String, Integer> counts = new HashMap<>();
    private final List<Integer> emitted = new ArrayList<>();

    private static RequestTarget target(int attempt) {
        return new RequestTarget(null, 1, attempt);
    }

    private List<RequestEffect> seen(List<RequestEffect> effects) {
        for (RequestEffect e : effects) {
            if (e instanceof RequestEffect.Count c) {
                counts.merge(c.gpuId(), c.change(), Integer::sum);
            } else if (e instanceof RequestEffect.Emit t) {
                emitted.add(t.index());
            }
        }
        return effects;
    }

    private List<RequestEffect> token(int attempt, String gpu, int index) {
        return seen(life.onToken(attempt, gpu, 40 + index, index, Float.NaN, null, null));
    }

    private static List<WorkerMessage.Remote> told(List<RequestEffect> effects, String gpu) {
        return effects.stream()
                .filter(e -> e instanceof RequestEffect.Tell t && t.gpuId().equals(gpu))
                .map(e -> ((RequestEffect.Tell) e).message())
                .toList();
    }

    private void startDecoding() {
        seen(life.onRoute(OLD, target(1), 60_000));
        token(1, "old", 0);
        token(1, "old", 1);
    }

    private List<RequestEffect> startMove() {
        assertEquals(List.of(FIND), seen(life.on(new RequestMessage.MoveAway("old", 1, 1))));
        return seen(life.onMoveRoute(Optional.of(NEW), target(2), 60_000));
    }

    private List<RequestEffect> reserved() {
        return seen(life.on(new RequestMessage.MoveReserved(
                "new", 1, 2, LEASE, new LeaseId(8, 2), new TransferEndpoint("memory", List.of("x"), 1, "h"), 0, 1, 4)));
    }

    @Test
    void shouldMoveWithoutGapOrRepetition() {
        startDecoding();
        WorkerMessage.Dispatch dispatch =
                (WorkerMessage.Dispatch) told(startMove(), "new").getFirst();
        assertEquals(WorkerMessage.Kind.MIGRATE, dispatch.kind());
        assertArrayEquals(new int[] {5, 6, 7, 40, 41}, dispatch.spec().tokens());
        token(1, "old", 2);
        assertTrue(told(reserved(), "old").getFirst() instanceof WorkerMessage.MoveOut);
        token(1, "old", 3);
        WorkerMessage.AdoptKv adopt =
                (WorkerMessage.AdoptKv) told(seen(life.on(new RequestMessage.Paused("old", 1, 1, LEASE, 4))), "new")
                        .getFirst();
        assertArrayEquals(new int[] {42, 43}, adopt.nextTokens());
        List<RequestEffect> adopted = seen(life.on(new RequestMessage.KvAdopted("new", 1, 2, STATS)));
        assertEquals(List.of(new WorkerMessage.CancelWork(target(1))), told(adopted, "old"));
        for (int i = 4; i < 8; i++) {
            token(2, "new", i);
        }
        seen(life.on(new RequestMessage.Ended("new", 1, 2, FinishReason.LENGTH, SequenceStats.NONE, "", 8)));
        assertTrue(life.over());
        assertEquals(List.of(0, 1, 2, 3, 4, 5, 6, 7), emitted);
        assertEquals(Map.of("old", 0, "new", 0), counts);
        assertEquals(0, life.figures().resumes());
    }

    @Test
    void shouldTakeATokenOfTheNewWorkerAsItsWordWhenTheMessageBeforeIsLost() {
        startDecoding();
        startMove();
        reserved();
        seen(life.on(new RequestMessage.Paused("old", 1, 1, LEASE, 2)));
        List<RequestEffect> first = token(2, "new", 2);
        assertEquals(List.of(new WorkerMessage.CancelWork(target(1))), told(first, "old"));
        assertEquals(List.of(0, 1, 2), emitted);
        assertEquals(Map.of("old", 0, "new", 1), counts);
        assertEquals(
                List.of(new WorkerMessage.CancelWork(target(1))),
                told(token(1, "old", 2), "old"),
                "an old worker that goes on is stopped");
        assertEquals(List.of(0, 1, 2), emitted);
    }

    @Test
    void shouldStayWhenTheNewWorkerRefusesFailsOrIsLost() {
        List<java.util.function.Supplier<List<RequestEffect>>> ends = List.of(
                () -> life.on(new RequestMessage.Refused("new", 1, 2, RefusalReason.NO_BLOCKS, "")),
                () -> life.on(new RequestMessage.KvFailed("new", 1, 2, TransferFailure.CHECKSUM_MISMATCH, STATS)),
                () -> life.on(new RequestMessage.Ended("new", 1, 2, FinishReason.ERROR, SequenceStats.NONE, "", 0)),
                () -> life.onWorkerLost("new", 2, "its reports stopped"));
        startDecoding();
        for (var end : ends) {
            startMove();
            reserved();
            seen(life.on(new RequestMessage.Paused("old", 1, 1, LEASE, 2)));
            List<RequestEffect> effects = seen(end.get());
            assertEquals(List.of(new WorkerMessage.KeepWork(target(1))), told(effects, "old"));
            assertEquals(Phase.TOGETHER, life.phase());
            assertEquals(Map.of("old", 1, "new", 0), counts);
        }
        token(1, "old", 2);
        assertEquals(List.of(0, 1, 2), emitted);
    }

    @Test
    void shouldForgetTheNewWorkerWhenTheOldOneGivesTheMoveUp() {
        startDecoding();
        startMove();
        reserved();
        List<RequestEffect> failed = seen(life.on(new RequestMessage.MoveFailed("old", 1, 1, LEASE, false, "slow")));
        assertEquals(List.of(new WorkerMessage.CancelWork(target(2))), told(failed, "new"));
        token(1, "old", 2);
        assertEquals(List.of(0, 1, 2), emitted);
        assertEquals(Map.of("old", 1, "new", 0), counts);
    }

    @Test
    void shouldResumeElsewhereWhenTheOldWorkerIsLostOnTheWay() {
        startDecoding();
        startMove();
        reserved();
        List<RequestEffect> lost = seen(life.onWorkerLost("old", 1, "its reports stopped"));
        assertEquals(List.of(new WorkerMessage.CancelWork(target(2))), told(lost, "new"));
        assertTrue(lost.contains(new RequestEffect.Reroute()));
        assertEquals(Map.of("old", 0, "new", 0), counts);
        seen(life.onRoute(NEW, target(3), 60_000));
        assertTrue(token(2, "new", 2).stream().noneMatch(RequestEffect.Emit.class::isInstance));
        token(3, "new", 2);
        assertEquals(List.of(0, 1, 2), emitted);
    }

    @Test
    void shouldEndBothWhenTheClientLeavesOrTheOutputEndsOnTheWay() {
        startDecoding();
        startMove();
        reserved();
        List<RequestEffect> ended =
                seen(life.on(new RequestMessage.Ended("old", 1, 1, FinishReason.STOP, SequenceStats.NONE, "", 2)));
        assertEquals(List.of(new WorkerMessage.CancelWork(target(2))), told(ended, "new"));
        assertEquals(Map.of("old", 0, "new", 0), counts);
        assertTrue(life.over());
    }

    private List<RequestEffect> quiet() {
        return seen(life.onQuiet((gpu, epoch) -> true));
    }

    private List<RequestEffect> state(String gpu, int attempt, boolean known, boolean moving) {
        return seen(life.on(new RequestMessage.WorkState(gpu, 1, attempt, known, 2, moving, false, false)));
    }

    @Test
    void shouldGiveAMoveUpWhoseOrderToTheOldWorkerWasLost() {
        startDecoding();
        startMove();
        reserved();
        assertEquals(List.of(), told(quiet(), "new"), "it has just begun");
        List<RequestEffect> asked = quiet();
        assertEquals(List.of(new WorkerMessage.AskWork(target(2))), told(asked, "new"));
        assertTrue(told(asked, "old").contains(new WorkerMessage.AskWork(target(1))));
        assertEquals(List.of(), state("new", 2, true, false));
        assertEquals(List.of(), state("old", 1, true, true), "it is on its way");
        List<RequestEffect> lost = state("old", 1, true, false);
        assertEquals(List.of(new WorkerMessage.CancelWork(target(2))), told(lost, "new"));
        assertEquals(List.of(new WorkerMessage.KeepWork(target(1))), told(lost, "old"));
        assertEquals(Map.of("old", 1, "new", 0), counts);
        assertEquals(List.of(FIND), life.on(new RequestMessage.MoveAway("old", 1, 1)));
    }

    @Test
    void shouldGiveAMoveUpThatNeverReachedTheNewWorkerAndAskBeforeItHears() {
        startDecoding();
        startMove();
        quiet();
        assertEquals(List.of(new WorkerMessage.AskWork(target(2))), told(quiet(), "new"));
        assertEquals(List.of(), state("old", 1, true, false), "it was told nothing yet");
        List<RequestEffect> lost = state("new", 2, false, false);
        assertEquals(List.of(), told(lost, "new"));
        assertEquals(Map.of("old", 1, "new", 0), counts);
        assertEquals(Phase.TOGETHER, life.phase());
    }

    @Test
    void shouldGiveAMoveUpWhoseNewWorkerIsNotThere() {
        startDecoding();
        startMove();
        seen(life.onQuiet((gpu, epoch) -> !gpu.equals("new")));
        assertEquals(Map.of("old", 1, "new", 0), counts);
    }

    @Test
    void shouldNotTakeWhatIsSaidOfAnEarlierMoveForThePresentOne() {
        startDecoding();
        startMove();
        reserved();
        LeaseId earlier = new LeaseId(6, 2);
        assertEquals(List.of(), seen(life.on(new RequestMessage.Paused("old", 1, 1, earlier, 2))));
        assertEquals(List.of(), seen(life.on(new RequestMessage.MoveFailed("old", 1, 1, earlier, false, "slow"))));
        assertEquals(
                1,
                told(seen(life.on(new RequestMessage.Paused("old", 1, 1, LEASE, 2))), "new")
                        .size());
    }

    @Test
    void shouldStayWhereItIsWhenThereIsNoOtherWorker() {
        startDecoding();
        life.on(new RequestMessage.MoveAway("old", 1, 1));
        assertEquals(List.of(), life.onMoveRoute(Optional.empty(), target(2), 60_000));
        assertEquals(List.of(), life.on(new RequestMessage.MoveAway("other", 1, 1)));
        token(1, "old", 2);
        assertEquals(List.of(0, 1, 2), emitted);
    }

    @Test
    void shouldRouteAgainAtOnceAndWithoutBlameWhenAWorkerGivesItBack() {
        seen(life.onRoute(OLD, target(1), 60_000));
        for (int attempt = 1; attempt < 20; attempt++) {
            List<RequestEffect> shed = seen(
                    life.on(new RequestMessage.Ended("old", 1, attempt, FinishReason.SHED, SequenceStats.NONE, "", 0)));
            assertTrue(shed.contains(new RequestEffect.Reroute()));
            assertEquals(List.of(), told(shed, "old"));
            seen(life.onRoute(OLD, target(attempt + 1), 60_000));
        }
        assertEquals(Map.of("old", 1), counts);
        assertEquals(Phase.TOGETHER, life.phase());
    }

    @Test
    void shouldTellThatTheTwoWorkersDoNotReachEachOther() {
        startDecoding();
        startMove();
        reserved();
        List<RequestEffect> failed = seen(
                life.on(new RequestMessage.MoveFailed("old", 1, 1, LEASE, true, "the transfer failed: NOT_CONNECTED")));
        RequestEffect.Parted parted = (RequestEffect.Parted) failed.stream()
                .filter(e -> e instanceof RequestEffect.Parted)
                .findFirst()
                .orElseThrow();
        assertEquals(new Route("old", 1, "new", 2, "moved from old"), parted.route());
        assertEquals(Map.of("old", 1, "new", 0), counts);
        token(1, "old", 2);
        assertEquals(List.of(0, 1, 2), emitted);
    }
}
