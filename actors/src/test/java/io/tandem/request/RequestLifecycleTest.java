package io.tandem.request;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.tandem.GenerationException.Kind;
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
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class RequestLifecycleTest {
    private static final Route SPLIT = new Route("p", 1, "d", 2, "test");
    private static final Route ELSEWHERE = new Route("e", 3, "e", 3, "test");
    private static final SequenceSpec SPEC =
            new SequenceSpec(new int[] {5, 6, 7}, 3, 4, SamplingParams.greedy(), new int[] {0}, 0, 0);

    private final RequestLifecycle life = new RequestLifecycle(SPEC, 5);

    private static RequestTarget target(int attempt) {
        return new RequestTarget(null, 1, attempt);
    }

    private List<RequestEffect> token(int attempt, String gpu, int index) {
        return life.onToken(attempt, gpu, 40 + index, index, Float.NaN, null, null);
    }

    private static <T extends RequestEffect> List<T> only(List<RequestEffect> effects, Class<T> type) {
        return effects.stream().filter(type::isInstance).map(type::cast).toList();
    }

    private static List<WorkerMessage.Remote> told(List<RequestEffect> effects, String gpu) {
        return only(effects, RequestEffect.Tell.class).stream()
                .filter(t -> t.gpuId().equals(gpu))
                .map(RequestEffect.Tell::message)
                .toList();
    }

    private void adopt() {
        life.onRoute(SPLIT, target(1), 60_000);
        token(1, "p", 0);
        life.on(new RequestMessage.KvAdopted("d", 1, 1, new TransferStats(1, 64, 9, 0)));
        assertEquals(Phase.ADOPTED, life.phase());
    }

    @Test
    void shouldTellBothWorkersAtOnceAndPassTheFirstTokenOn() {
        List<RequestEffect> start = life.onRoute(SPLIT, target(1), 60_000);
        assertEquals(1, told(start, "p").size());
        assertEquals(1, told(start, "d").size());
        List<RequestEffect> pushed = life.on(new RequestMessage.KvReserved(
                "d", 1, 1, new LeaseId(1, 2), new TransferEndpoint("memory", List.of("x"), 1, "h"), 0, 1));
        assertTrue(told(pushed, "p").getFirst() instanceof WorkerMessage.PushKv);
        List<RequestEffect> first = token(1, "p", 0);
        assertEquals(1, only(first, RequestEffect.Emit.class).size());
        WorkerMessage.AdoptKv adopt = (WorkerMessage.AdoptKv) told(first, "d").getFirst();
        assertArrayEquals(new int[] {40}, adopt.nextTokens());
    }

    @Test
    void shouldResumeFromWhatWasSentWhenTheDecodeWorkerIsLost() {
        adopt();
        token(1, "d", 1);
        List<RequestEffect> lost = life.onWorkerLost("d", 2, "its reports stopped");
        assertEquals(1, only(lost, RequestEffect.Reroute.class).size(), "at once");
        List<RequestEffect> again = life.onRoute(ELSEWHERE, target(2), 60_000);
        WorkerMessage.Dispatch dispatch =
                (WorkerMessage.Dispatch) told(again, "e").getFirst();
        assertArrayEquals(new int[] {5, 6, 7, 40, 41}, dispatch.spec().tokens());
        assertEquals(3, dispatch.spec().promptTokens());
        List<RequestEffect> late = token(1, "d", 2);
        assertEquals(1, late.size(), "a late token of the lost worker is ignored");
        assertEquals(List.of(new WorkerMessage.CancelWork(target(1))), told(late, "d"), "and it is told to stop");
        assertTrue(token(2, "e", 1).isEmpty(), "a repeated token is ignored");
        assertEquals(1, only(token(2, "e", 2), RequestEffect.Emit.class).size());
    }

    @Test
    void shouldNotCareForThePrefillWorkerOnceItsBlocksAreAdopted() {
        adopt();
        assertTrue(life.onWorkerLost("p", 1, "its reports stopped").isEmpty());
        for (FinishReason end : List.of(FinishReason.ERROR, FinishReason.DEADLINE, FinishReason.CANCELLED)) {
            List<RequestEffect> ended =
                    life.on(new RequestMessage.Ended("p", 1, 1, end, SequenceStats.NONE, "the device is lost", 1));
            assertTrue(ended.isEmpty(), () -> end + ": " + ended);
        }
        assertTrue(
                life.onWorkerLost("d", 99, "its reports stopped").isEmpty(), "another incarnation is another worker");
    }

    @Test
    void shouldComputeAgainWhenATransferFails() {
        life.onRoute(SPLIT, target(1), 60_000);
        List<RequestEffect> failed = life.on(new RequestMessage.KvFailed(
                "d", 1, 1, TransferFailure.CHECKSUM_MISMATCH, new TransferStats(0, 0, 0, 1)));
        assertTrue(told(failed, "p").getFirst() instanceof WorkerMessage.CancelWork);
        assertTrue(told(failed, "d").getFirst() instanceof WorkerMessage.CancelWork);
        assertEquals(1, life.figures().checksumFailures());
        assertEquals(Phase.WAITING, life.phase());
    }

    @Test
    void shouldGoElsewhereAtOnceWhenBlocksFindNoWay() {
        life.onRoute(SPLIT, target(1), 60_000);
        token(1, "p", 0);
        List<RequestEffect> failed = life.on(
                new RequestMessage.KvFailed("p", 1, 1, TransferFailure.NOT_CONNECTED, new TransferStats(0, 0, 0, 0)));
        assertEquals(
                List.of(new RequestEffect.Parted(SPLIT)),
                only(failed, RequestEffect.Parted.class),
                "the pair is known");
        assertEquals(1, only(failed, RequestEffect.Reroute.class).size());
        assertEquals(1, told(failed, "d").size(), "its reservation is let go");
        assertTrue(life.avoid().isEmpty(), "both are well");
        assertEquals("no way for blocks from p to d", life.figures().reason());
    }

    @Test
    void shouldReachOneTerminalStateOnlyAndBalanceItsCounts() {
        adopt();
        for (int i = 1; i < 4; i++) {
            token(1, "d", i);
        }
        List<RequestEffect> ended =
                life.on(new RequestMessage.Ended("d", 1, 1, FinishReason.LENGTH, SequenceStats.NONE, "", 4));
        assertEquals(1, only(ended, RequestEffect.Finish.class).size());
        assertTrue(life.onCancel().isEmpty());
        assertTrue(life.onDeadline().isEmpty());
        assertTrue(life.onWorkerLost("d", 2, "its reports stopped").isEmpty());
    }

    @Test
    void shouldGoOnElsewhereWhenItsWorkerIsTooSmallAndEndWhereAllAre() {
        adopt();
        List<RequestEffect> full =
                life.on(new RequestMessage.Ended("d", 1, 1, FinishReason.LENGTH, SequenceStats.NONE, "", 1));
        assertEquals(1, only(full, RequestEffect.Reroute.class).size());
        assertEquals(Set.of("d"), life.avoid());
        life.onRoute(ELSEWHERE, target(2), 60_000);
        token(2, "e", 1);
        life.on(new RequestMessage.Ended("e", 1, 2, FinishReason.LENGTH, SequenceStats.NONE, "", 2));
        life.onRoute(ELSEWHERE, target(3), 60_000);
        List<RequestEffect> refused = life.on(new RequestMessage.Refused("e", 1, 3, RefusalReason.TOO_LONG, "no room"));
        assertEquals(List.of(new RequestEffect.Finish(FinishReason.LENGTH)), only(refused, RequestEffect.Finish.class));
        assertEquals(2, life.outputTokens());
    }

    /** Of a move, whole blocks may take the stream while the way is opened that its last ones go. */
    @Test
    void shouldCountTheBlocksThatWentPastTheStreamAndNoOthers() {
        life.onRoute(SPLIT, target(1), 60_000);
        token(1, "p", 0);
        TransferStats stream = new TransferStats(5, 320, 9, 0);
        TransferStats direct = new TransferStats(2, 128, 1, 0, 0, 2);
        life.on(new RequestMessage.KvAdopted("d", 1, 1, stream.plus(direct)));
        assertEquals(7, life.figures().kvBlocks());
        assertEquals(2, life.figures().kvDirectBlocks());
    }

    /** Room comes with time; what an engine fails at, it fails at again. */
    @ParameterizedTest
    @EnumSource(
            value = RefusalReason.class,
            names = {"NO_BLOCKS", "FAILED"})
    void shouldWaitForRoomWithTokensButNotForAnEngineThatFails(RefusalReason reason) {
        life.onRoute(ELSEWHERE, target(1), 60_000);
        token(1, "e", 0);
        List<RequestEffect> last = List.of();
        for (int n = 1; n <= 10 && !life.over(); n++) {
            last = life.on(new RequestMessage.Refused("e", 1, n, reason, "why"));
            life.onRoute(ELSEWHERE, target(n + 1), 60_000);
        }
        assertEquals(reason == RefusalReason.FAILED, life.over(), last.toString());
    }

    @Test
    void shouldGiveUpAfterTheLimitOfAttempts() {
        List<RequestEffect> last = List.of();
        for (int attempt = 1; attempt <= 5; attempt++) {
            life.onRoute(ELSEWHERE, target(attempt), 60_000);
            last = life.onWorkerLost("e", 3, "its reports stopped");
        }
        assertEquals(1, only(last, RequestEffect.Fail.class).size());
        assertTrue(life.over());
    }

    @Test
    void shouldFailAtOnceWhenThereIsNoWorker() {
        List<RequestEffect> effects = life.onNoRoute("every worker is drained");
        assertEquals(List.of(new RequestEffect.Fail(Kind.UNAVAILABLE, "every worker is drained")), effects);
    }

    /** One that has begun waits for a worker, as long as its time allows. */
    @Test
    void shouldSayWhatItWaitedForWhenItsTimeIsOver() {
        life.onRoute(ELSEWHERE, target(1), 60_000);
        token(1, "e", 0);
        life.onWorkerLost("e", 3, "its reports stopped");
        assertEquals(List.of(new RequestEffect.RetryLater()), life.onNoRoute("every worker is drained"));
        assertEquals(
                List.of(new RequestEffect.Fail(
                        Kind.DEADLINE, "the request's time is over after 1 output tokens: every worker is drained")),
                only(life.onDeadline(), RequestEffect.Fail.class));
    }

    private static RequestMessage.WorkState state(String gpu, boolean known, int published, boolean told) {
        return new RequestMessage.WorkState(gpu, 1, 1, known, published, told, told, false);
    }

    @Test
    void shouldAskSilentWorkersAndTellAgainWhatTheyMissed() {
        life.onRoute(SPLIT, target(1), 60_000);
        assertTrue(life.onQuiet((gpu, epoch) -> true).isEmpty(), "nobody has been silent for long");
        token(1, "p", 0);
        List<RequestEffect> asked = life.onQuiet((gpu, epoch) -> true);
        assertTrue(told(asked, "d").getFirst() instanceof WorkerMessage.AskWork);
        assertTrue(told(asked, "p").isEmpty(), "who spoke is not asked");
        List<RequestEffect> again = life.on(state("d", true, 0, false));
        assertTrue(told(again, "d").getFirst() instanceof WorkerMessage.AdoptKv);
        assertTrue(life.on(state("d", true, 0, true)).isEmpty());
    }

    @Test
    void shouldResumeWhenAWorkerKnowsNothingOrToldMoreThanArrived() {
        life.onRoute(ELSEWHERE, target(1), 60_000);
        token(1, "e", 0);
        List<RequestEffect> missing = life.on(state("e", true, 2, true));
        assertEquals(1, only(missing, RequestEffect.RetryLater.class).size());
        life.onRoute(ELSEWHERE, target(2), 60_000);
        List<RequestEffect> unknown = life.on(new RequestMessage.WorkState("e", 1, 2, false, 0, false, false, false));
        assertEquals(1, only(unknown, RequestEffect.RetryLater.class).size());
    }

    @Test
    void shouldNotEndBeforeAllTokensArrived() {
        life.onRoute(ELSEWHERE, target(1), 60_000);
        token(1, "e", 0);
        List<RequestEffect> ended =
                life.on(new RequestMessage.Ended("e", 1, 1, FinishReason.LENGTH, SequenceStats.NONE, "", 4));
        assertEquals(1, only(ended, RequestEffect.RetryLater.class).size());
        assertEquals(Phase.WAITING, life.phase());
    }

    @Test
    void shouldTakeATokenThatItsAttemptsEndOvertook() {
        life.onRoute(ELSEWHERE, target(1), 60_000);
        token(1, "e", 0);
        token(1, "e", 1);
        life.on(new RequestMessage.Ended("e", 1, 1, FinishReason.LENGTH, SequenceStats.NONE, "", 4));
        assertEquals(1, only(token(1, "e", 2), RequestEffect.Emit.class).size());
        assertTrue(only(token(1, "e", 2), RequestEffect.Emit.class).isEmpty(), "it is there already");
        List<RequestEffect> last = token(1, "e", 3);
        assertEquals(1, only(last, RequestEffect.Emit.class).size());
        assertEquals(
                FinishReason.LENGTH,
                only(last, RequestEffect.Finish.class).getFirst().reason());
        assertTrue(life.onRoute(ELSEWHERE, target(2), 60_000).isEmpty(), "it is over");
    }

    @Test
    void shouldNotTakeAnOvertakenTokenThatIsComputedAnew() {
        life.onRoute(ELSEWHERE, target(1), 60_000);
        token(1, "e", 0);
        life.on(new RequestMessage.Ended("e", 1, 1, FinishReason.LENGTH, SequenceStats.NONE, "", 4));
        life.onRoute(ELSEWHERE, target(2), 60_000);
        assertTrue(only(token(1, "e", 1), RequestEffect.Emit.class).isEmpty());
        assertEquals(1, only(token(2, "e", 1), RequestEffect.Emit.class).size());
    }

    @Test
    void shouldFinishWhenItsWorkerIsLostAfterTheLastToken() {
        life.onRoute(ELSEWHERE, target(1), 60_000);
        for (int i = 0; i < 4; i++) {
            token(1, "e", i);
        }
        List<RequestEffect> lost = life.onWorkerLost("e", 3, "its reports stopped");
        assertEquals(
                FinishReason.LENGTH,
                only(lost, RequestEffect.Finish.class).getFirst().reason());
    }

    @Test
    void shouldNeitherLoseNorRepeatATokenOfAWorkerThatWasCalledDeadAndLives() {
        life.onRoute(ELSEWHERE, target(1), 60_000);
        token(1, "e", 0);
        life.onWorkerLost("e", 3, "its process is gone (connection refused)");
        assertTrue(only(token(1, "e", 1), RequestEffect.Emit.class).isEmpty(), "while another one is looked for");
        life.onRoute(ELSEWHERE, target(2), 60_000);
        assertTrue(only(token(1, "e", 2), RequestEffect.Emit.class).isEmpty(), "and when it goes on elsewhere");
        assertEquals(1, only(token(2, "e", 1), RequestEffect.Emit.class).size());
        assertTrue(only(token(1, "e", 3), RequestEffect.Emit.class).isEmpty());
        assertEquals(1, only(token(2, "e", 2), RequestEffect.Emit.class).size());
        assertEquals(3, life.outputTokens());
    }

    @Test
    void shouldReportWhyAnotherWorkerTookOver() {
        life.onRoute(ELSEWHERE, target(1), 60_000);
        token(1, "e", 0);
        life.onWorkerLost("e", 3, "its reports stopped");
        life.onRoute(SPLIT, target(2), 60_000);
        assertEquals(
                "worker e is lost: its reports stopped; then " + SPLIT.reason(),
                life.figures().reason());
        assertEquals(1, life.figures().resumes());
    }

    @Test
    void shouldCancelWhatAWorkerHoldsOfAnEarlierAttempt() {
        life.onRoute(ELSEWHERE, target(1), 60_000);
        life.onWorkerLost("e", 3, "its reports stopped");
        life.onRoute(ELSEWHERE, target(2), 60_000);
        WorkerMessage.CancelWork cancel =
                (WorkerMessage.CancelWork) told(life.onHeld("e", 1), "e").getFirst();
        assertEquals(1, cancel.target().attempt());
        assertTrue(life.onHeld("e", 2).isEmpty());
    }

    @Test
    void shouldGiveUpAWorkerWhoseLossWasToldBeforeTheRequestWentThere() {
        life.onRoute(SPLIT, target(1), 60_000);
        List<RequestEffect> quiet = life.onQuiet((gpu, epoch) -> !gpu.equals("p"));
        assertEquals(1, only(quiet, RequestEffect.RetryLater.class).size());
        assertTrue(life.avoid().contains("p"));
    }
}
