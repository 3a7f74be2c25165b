package io.tandem.supervisor;

import static io.tandem.engine.EngineRole.DECODE;
import static io.tandem.engine.EngineRole.MIXED;
import static io.tandem.engine.EngineRole.PREFILL;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.tandem.engine.EngineRole;
import io.tandem.routing.StepTimeModel;
import io.tandem.routing.StepTimes;
import io.tandem.supervisor.RebalancePolicy.Flip;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import org.junit.jupiter.api.Test;

class RebalancePolicyTest {
    private static final EngineRole[] EIGHT = {PREFILL, PREFILL, PREFILL, PREFILL, DECODE, DECODE, DECODE, DECODE};

    // One GPU computes about 25,000 prompt tokens a second, or yields about 19,000 output tokens a second at 25 ms.
    private static void promptHeavy(RoleCluster c, double seconds) {
        c.run(seconds, 30, 4_000, 100);
    }

    private static void outputHeavy(RoleCluster c, double seconds) {
        c.run(seconds, 38, 500, 3_000);
    }

    @Test
    void shouldSettleAndNotFlapOnStationaryLoadWithNoise() {
        for (long seed = 0; seed < 20; seed++) {
            RoleCluster c = new RoleCluster(seed, RoleCluster.settings(), EIGHT);
            promptHeavy(c, 600);
            int settled = c.flips().size();
            assertTrue(c.flips().stream().allMatch(f -> f.to() == PREFILL), "seed " + seed + ": " + c.flips());
            assertTrue(settled >= 1 && settled <= 3, "seed " + seed + ": " + c.flips());
            long tail = c.flippedAt().getLast();
            assertTrue(tail < 200 * RoleCluster.SECOND, "seed " + seed + ": still changing after " + tail / 1e9 + " s");
        }
    }

    @Test
    void shouldLeaveAloneWhatMeetsItsTargets() {
        RoleCluster c = new RoleCluster(1, RoleCluster.settings(), EIGHT);
        c.run(600, 8, 2_000, 200);
        c.idle(300);
        assertEquals(List.of(), c.flips());
        assertTrue(c.latest().verdict().reason().contains("targets are met"), c.latest()::toString);
    }

    @Test
    void shouldFollowADriftThereAndBack() {
        for (long seed = 0; seed < 10; seed++) {
            RoleCluster c = new RoleCluster(seed, RoleCluster.settings(), EIGHT);
            promptHeavy(c, 300);
            long prefillAtFirst = c.count(PREFILL) + c.count(MIXED);
            outputHeavy(c, 400);
            long prefillThen = c.count(PREFILL);
            promptHeavy(c, 400);
            long prefillAtLast = c.count(PREFILL) + c.count(MIXED);
            assertTrue(prefillAtFirst >= 5, "seed " + seed + ": " + c.flips());
            assertTrue(prefillThen <= 3, "seed " + seed + ": " + c.flips());
            assertTrue(prefillAtLast >= 5, "seed " + seed + ": " + c.flips());
            assertTrue(c.flips().size() <= 14, "seed " + seed + ": " + c.flips());
        }
    }

    @Test
    void shouldLetEveryWorkerDwellAndShowEffectBetweenChanges() {
        RoleCluster c = new RoleCluster(5, RoleCluster.settings(), EIGHT);
        for (int i = 0; i < 12; i++) {
            promptHeavy(c, 40);
            outputHeavy(c, 40);
        }
        for (int i = 1; i < c.flips().size(); i++) {
            long pause = c.flippedAt().get(i) - c.flippedAt().get(i - 1);
            // Several workers may change in one round.
            assertTrue(
                    pause == 0 || pause >= RoleCluster.settings().settleTime().toNanos(),
                    "pause of " + pause / 1e9 + " s before " + i);
            for (int j = 0; j < i; j++) {
                if (c.flips().get(i).gpuId().equals(c.flips().get(j).gpuId())) {
                    long kept = c.flippedAt().get(i) - c.flippedAt().get(j);
                    assertTrue(kept >= RoleCluster.settings().minDwell().toNanos(), "kept " + kept / 1e9 + " s");
                }
            }
        }
    }

    @Test
    void shouldNeverLeaveAKindEmptyWhateverIsAsked() {
        for (long seed = 0; seed < 30; seed++) {
            RoleCluster c = new RoleCluster(seed, RoleCluster.settings(), PREFILL, DECODE, DECODE);
            for (int i = 0; i < 10; i++) {
                c.run(60, 100, seed % 2 == 0 ? 8_000 : 4, seed % 2 == 0 ? 1 : 4_000);
                assertTrue(c.count(PREFILL) + c.count(MIXED) > 0, "seed " + seed + ": " + c.flips());
                assertTrue(c.count(DECODE) + c.count(MIXED) > 0, "seed " + seed + ": " + c.flips());
            }
        }
    }

    @Test
    void shouldPreferMixedWhenTwoGpusCannotBeSplitWell() {
        // Prompts alone need more than one GPU, outputs very little.
        RoleCluster c = new RoleCluster(3, RoleCluster.settings(), PREFILL, DECODE);
        c.run(300, 14, 2_000, 40);
        assertTrue(c.count(MIXED) >= 1, c.latest().verdict() + " " + c.flips());
    }

    @Test
    void shouldReplaceALostKindAfterAGraceAndOnlyThen() {
        RoleCluster c = new RoleCluster(1, RoleCluster.settings(), PREFILL, DECODE, DECODE, DECODE);
        c.run(60, 4, 1_000, 100);
        c.lose(0);
        c.run(6, 4, 1_000, 100);
        assertEquals(List.of(), c.flips());
        c.run(20, 4, 1_000, 100);
        assertEquals(1, c.flips().size());
        assertEquals(1, c.count(PREFILL));
        c.comeBack(0, PREFILL);
        c.run(200, 4, 1_000, 100);
        assertEquals(1, c.flips().size(), "two of each serve this load: nothing to change back");
    }

    @Test
    void shouldNotBelieveThePriorOfWorkersThatNeverComputedAPrompt() {
        StepTimeModel measured = new StepTimeModel(8192, 6e6, 20e3, 20);
        measured.adopt(new StepTimes(new double[] {6e6, 0, 20, 0}, new double[] {6e6, 20e3, 0, 0}, 100, 100), 8192);
        // Five times too slow: what every DECODE worker says before its first prompt.
        StepTimeModel prior = new StepTimeModel(8192, 6e6, 100e3, 20);
        DemandWindow window = new DemandWindow(20 * RoleCluster.SECOND);
        for (int i = 0; i < 2_000; i++) {
            window.arrived(1_000, i * RoleCluster.SECOND / 100);
            window.finished(1_000, 50, i * RoleCluster.SECOND / 100);
        }
        List<WorkerView> views = new ArrayList<>();
        for (int i = 0; i < 8; i++) {
            EngineRole role = EIGHT[i];
            views.add(new WorkerView(
                    "gpu-" + i, true, role, role, 0, role == PREFILL ? measured : prior, 0, 0, 1_000_000));
        }
        // 100 prompts/s of 1,000 tokens at 20 us take half of four GPUs.
        var outcome = new RebalancePolicy(RoleCluster.settings())
                .decide(
                        RebalancePolicy.State.START,
                        views,
                        window.demand(20 * RoleCluster.SECOND),
                        20 * RoleCluster.SECOND);
        assertTrue(outcome.verdict().promptStrain() < 0.3, outcome.verdict().toString());
    }

    /** 16 workers of each role that take 6 ms + 20 us a prompt token, and decode at 6 ms + 50 ns a token of context. */
    private static List<WorkerView> thirtyTwo(int prefill, int decodesEach, StepTimeModel odd) {
        StepTimeModel steps = new StepTimeModel(8192, 6e6, 20e3, 20);
        steps.adopt(new StepTimes(new double[] {6e6, 0, 50, 0}, new double[] {6e6, 20e3, 0, 0}, 100, 100), 8192);
        List<WorkerView> views = new ArrayList<>();
        for (int i = 0; i < 32; i++) {
            EngineRole role = i < prefill ? PREFILL : DECODE;
            int decodes = role == DECODE ? decodesEach : 0;
            StepTimeModel own = odd != null && i == 31 ? odd : steps;
            views.add(new WorkerView("gpu-" + i, true, role, role, 0, own, 0, decodes, 1_000_000));
        }
        return views;
    }

    /** 750 requests/s of 1,200 prompt tokens, which take 18.6 GPUs of {@link #thirtyTwo}. */
    private static Demand shortPrompts(int outputTokens) {
        DemandWindow window = new DemandWindow(20 * RoleCluster.SECOND);
        for (int i = 0; i < 15_000; i++) {
            window.arrived(1_200, i * RoleCluster.SECOND / 750);
            window.finished(1_200, outputTokens, i * RoleCluster.SECOND / 750);
        }
        return window.demand(20 * RoleCluster.SECOND);
    }

    private static RebalancePolicy.Outcome decide(List<WorkerView> views, int outputTokens) {
        return new RebalancePolicy(RoleCluster.settings())
                .decide(RebalancePolicy.State.START, views, shortPrompts(outputTokens), 20 * RoleCluster.SECOND);
    }

    @Test
    void shouldSeeThatShortPromptsAreTooManyBeforeTheyQueue() {
        // Each waits little behind the one before it, and the queue grows by a seventh of a second each second.
        RebalancePolicy.Verdict verdict = decide(thirtyTwo(16, 60, null), 200).verdict();
        assertTrue(verdict.promptStrain() > 0.7, verdict.toString());
        assertTrue(verdict.wanted().matches("(1[89]|2[0-3])P.*"), verdict.toString());
    }

    @Test
    void shouldNotGiveUpPrefillGpusThatAreNeededForDecodesThatAreNotShort() {
        RebalancePolicy.Verdict verdict = decide(thirtyTwo(19, 170, null), 180).verdict();
        assertTrue(verdict.promptStrain() < 0.3, verdict.toString());
        assertTrue(verdict.decodeStrain() > 0.6 && verdict.decodeStrain() < 1, verdict.toString());
        assertEquals("19P13D", verdict.wanted(), verdict.toString());
    }

    @Test
    void shouldAskThoseThatComputePromptsWhatAPromptCosts() {
        // A few tiny prompts beside decodes, and a curve through them that leaves the world at a full step.
        StepTimeModel odd = new StepTimeModel(8192, 6e6, 20e3, 20);
        odd.adopt(new StepTimes(new double[] {6e6, 0, 50, 0}, new double[] {6e6, 20e3, 1e3, 0}, 100, 8), 8192);
        RebalancePolicy.Verdict with = decide(thirtyTwo(20, 60, odd), 200).verdict();
        RebalancePolicy.Verdict without = decide(thirtyTwo(20, 60, null), 200).verdict();
        assertEquals(without.promptStrain(), with.promptStrain(), 1e-9);
    }

    @Test
    void shouldNotBelieveACurveFarBeyondWhatItWasFittedTo() {
        // 6 ms + 50 ns a token of context, bending down: at its largest with a full pool, and below zero far beyond.
        StepTimeModel bends = new StepTimeModel(8192, 6e6, 20e3, 20);
        bends.adopt(new StepTimes(new double[] {6e6, 0, 50, -2.4e-5}, new double[] {6e6, 20e3, 0, 0}, 100, 100), 8192);
        WorkerView worker = new WorkerView("gpu-0", true, DECODE, DECODE, 0, bends, 0, 0, 1_048_576);
        // 25 ms at 497,000 tokens of context.
        assertEquals(55, LayoutModel.batchAt(worker, 9_000, 25e6));
        assertEquals(116, LayoutModel.batchAt(worker, 9_000, 60e6), "the pool's limit");
        assertEquals(0, LayoutModel.batchAt(worker, 9_000, 6e6));
    }

    @Test
    void shouldGoHalfOfTheWayAtOnceWhereATargetIsNearlyMissed() {
        EngineRole[] many = new EngineRole[32];
        Arrays.fill(many, 0, 16, PREFILL);
        Arrays.fill(many, 16, 32, DECODE);
        RoleCluster c = new RoleCluster(4, RoleCluster.settings(), many);
        c.run(60, 100, 4_500, 60);
        long first = c.flippedAt().getFirst();
        long together = c.flippedAt().stream().filter(at -> at == first).count();
        assertTrue(together >= 2 && together <= 6, c.flips() + " at " + c.flippedAt());
        assertTrue(first < 15 * RoleCluster.SECOND, "roles nobody has changed need no dwell: " + c.flippedAt());
    }

    @Test
    void shouldRoundHalfOfTheWayUp() {
        List<WorkerView> views = thirtyTwo(15, 60, null);
        RebalancePolicy.State state = RebalancePolicy.State.START;
        RebalancePolicy.Outcome outcome = null;
        for (int round = 0; round < RoleCluster.settings().confirmations(); round++) {
            outcome = decide(state, views, round);
            state = outcome.state();
        }
        int way = prefillWorkers(outcome.verdict().wanted()) - 15;
        assertTrue(way % 2 == 1 && way > 2, "an odd way, or this shows nothing: " + outcome.verdict());
        assertEquals((way + 1) / 2, outcome.flips().size(), outcome.toString());
    }

    private static int prefillWorkers(String layout) {
        return Integer.parseInt(layout.substring(0, layout.indexOf('P')));
    }

    private static RebalancePolicy.Outcome decide(RebalancePolicy.State state, List<WorkerView> views, int second) {
        return new RebalancePolicy(RoleCluster.settings())
                .decide(state, views, shortPrompts(200), (20 + second) * RoleCluster.SECOND);
    }

    /** What a change brought is not known before the settle time is over; what is wanted all along need not be confirmed after it. */
    @Test
    void shouldConfirmWhileItWatchesAChange() {
        long settle = RoleCluster.settings().settleTime().toNanos();
        RebalancePolicy.State state = RebalancePolicy.State.START;
        for (int round = RoleCluster.settings().confirmations(); round >= 0; round--) {
            List<WorkerView> views = thirtyTwo(16, 60, null);
            WorkerView first = views.getFirst();
            long age = settle - round * RoleCluster.SECOND;
            views.set(
                    0,
                    new WorkerView(first.gpuId(), true, PREFILL, DECODE, age, first.steps(), 0, 0, first.kvTokens()));
            RebalancePolicy.Outcome outcome = decide(state, views, 0);
            state = outcome.state();
            boolean watching = outcome.verdict().reason().contains("watches the effect of gpu-0's change");
            assertEquals(round > 0, watching, outcome::toString);
            assertEquals(round > 0, outcome.flips().isEmpty(), outcome::toString);
        }
    }

    @Test
    void shouldLetTheLastWorkerDoBoth() {
        RoleCluster c = new RoleCluster(1, RoleCluster.settings(), PREFILL, DECODE);
        c.lose(1);
        c.idle(30);
        assertEquals(List.of(new Flip("gpu-0", PREFILL, MIXED)), c.flips());
        c.lose(0);
        c.idle(10);
        assertTrue(c.latest().verdict().reason().contains("no worker"));
    }

    @Test
    void shouldNotChangeRolesWhileNodesAreStillJoining() {
        RoleCluster c = new RoleCluster(1, RoleCluster.settings(), PREFILL, DECODE);
        c.lose(1);
        c.idle(6);
        c.comeBack(1, DECODE);
        c.idle(60);
        assertEquals(List.of(), c.flips());
    }

    @Test
    void shouldFlipTheWorkerThatSuitsTheNewRole() {
        RoleCluster c = new RoleCluster(7, RoleCluster.settings(), EIGHT);
        c.speeds(6, 3, 1);
        promptHeavy(c, 200);
        assertEquals("gpu-6", c.flips().getFirst().gpuId(), c.flips().toString());
    }

    @Test
    void shouldWaitForAChangeToBeDoneAndGiveItUpInTheEnd() {
        RebalancePolicy policy = new RebalancePolicy(RoleCluster.settings());
        RoleCluster c = new RoleCluster(1, RoleCluster.settings(), EIGHT);
        promptHeavy(c, 2);
        List<WorkerView> unchanged = c.views();
        Flip flip = new Flip("gpu-4", DECODE, PREFILL);
        long told = 1_000 * RoleCluster.SECOND;
        var waiting = policy.decide(
                new RebalancePolicy.State("", 0, List.of(flip), told, 0), unchanged, Demand.none(), told + 1);
        assertEquals(List.of(flip), waiting.state().pending());
        assertTrue(waiting.flips().isEmpty());
        long late = told + RoleCluster.settings().flipTimeout().toNanos();
        var given = policy.decide(waiting.state(), unchanged, Demand.none(), late);
        assertEquals(List.of(), given.state().pending());
        var gone = policy.decide(waiting.state(), unchanged.subList(0, 4), Demand.none(), told + 1);
        assertEquals(List.of(), gone.state().pending(), "a lost worker is not waited for");
    }

    @Test
    void shouldDecideAlikeAfterHandOver() {
        RoleCluster stays = new RoleCluster(11, RoleCluster.settings(), EIGHT);
        RoleCluster moves = new RoleCluster(11, RoleCluster.settings(), EIGHT);
        for (RoleCluster c : List.of(stays, moves)) {
            for (int i = 0; i < 6; i++) {
                outputHeavy(c, 50);
                if (c == moves) {
                    c.handOver();
                }
            }
        }
        assertTrue(moves.flips().size() <= stays.flips().size() + 1, stays.flips() + " / " + moves.flips());
        assertTrue(Math.abs(moves.count(DECODE) - stays.count(DECODE)) <= 1, stays.flips() + " / " + moves.flips());
        assertEquals(
                moves.flippedAt().stream().sorted().toList(),
                moves.flippedAt(),
                "changes keep their distance across the hand-over");
        for (int i = 1; i < moves.flippedAt().size(); i++) {
            long pause = moves.flippedAt().get(i) - moves.flippedAt().get(i - 1);
            assertTrue(
                    pause == 0 || pause >= RoleCluster.settings().settleTime().toNanos());
        }
        assertTrue(Collections.max(moves.flippedAt()) > 0);
    }
}
