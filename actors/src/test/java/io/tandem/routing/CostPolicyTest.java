package io.tandem.routing;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.tandem.engine.EngineRole;
import io.tandem.routing.CostPolicy.Candidate;
import io.tandem.routing.CostPolicy.Request;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.function.BiPredicate;
import org.junit.jupiter.api.Test;

class CostPolicyTest {
    private static final long TTFT = 2_000_000_000L;
    private static final long ITL = 25_000_000L;

    private final CostPolicy policy = new CostPolicy(CostSettings.DEFAULT, 1);
    private final List<WorkerLoad> loads = new ArrayList<>();

    /** 10 ms a step, 20 µs a prompt token, 50 ns a token of context. */
    private WorkerLoad load(String gpu) {
        WorkerLoad load = new WorkerLoad(gpu, new StepTimeModel(8192, 10e6, 20_000, 50));
        loads.add(load);
        return load;
    }

    private Candidate worker(String gpu, EngineRole role, int cached) {
        return new Candidate(load(gpu), role, cached, 1e6, 1_000_000);
    }

    private RoutingDecision.Plan route(Request request, List<Candidate> candidates) {
        RoutingDecision.Plan plan =
                policy.decide(request, candidates, 0).orElseThrow().plan();
        policy.book(request, plan, find(plan.prefillGpu()), find(plan.decodeGpu()), 0);
        return plan;
    }

    private WorkerLoad find(String gpu) {
        return loads.stream().filter(l -> l.gpuId().equals(gpu)).findFirst().orElseThrow();
    }

    private static Request request(long id, int tokens) {
        return new Request(id, tokens, TTFT, ITL);
    }

    /** Here the first token comes a decode step sooner when the prompt is not split: no reason to compute it where decodes are due. */
    @Test
    void shouldLeaveADecodeGpuThatHappensToBeIdleToDecodes() {
        CostPolicy late = new CostPolicy(CostSettings.DEFAULT.withFirstTokenFromDecode(true), 1);
        List<Candidate> all = List.of(
                worker("p0", EngineRole.PREFILL, 0),
                worker("d0", EngineRole.DECODE, 0),
                worker("d1", EngineRole.DECODE, 0));
        for (int r = 100; r < 104; r++) {
            find("d0").bookDecode(r, 5000);
        }
        RoutingDecision.Plan plan =
                late.decide(request(1, 8000), all, 0).orElseThrow().plan();
        assertEquals("p0", plan.prefillGpu());
        assertEquals("d1", plan.decodeGpu());
        find("p0").bookPrefill(2, 80_000, 0);
        plan = late.decide(request(3, 8000), all, 0).orElseThrow().plan();
        assertEquals("d1", plan.prefillGpu(), "but it helps when prompts queue");
    }

    @Test
    void shouldPairAPrefillGpuWithOneThatItReaches() {
        List<Candidate> all = List.of(
                worker("p0", EngineRole.PREFILL, 0),
                worker("p1", EngineRole.PREFILL, 4000),
                worker("m0", EngineRole.MIXED, 0),
                worker("m1", EngineRole.MIXED, 0));
        find("m0").bookDecode(99, 5000);
        Request request = request(1, 8000);
        assertEquals(
                "m0", policy.decide(request, all, 0).orElseThrow().plan().decodeGpu(), "where decodes are gathered");
        RoutingDecision.Plan plan = policy.decide(
                        request, all, parted((from, to) -> from.equals("p1") && to.equals("m0")), 0)
                .orElseThrow()
                .plan();
        assertEquals("p1", plan.prefillGpu(), "its cache is worth more");
        assertEquals("m1", plan.decodeGpu());
    }

    @Test
    void shouldServeWithAPairThatDoesNotReachWhenThereIsNoOther() {
        List<Candidate> all = List.of(worker("p0", EngineRole.PREFILL, 0), worker("m0", EngineRole.MIXED, 0));
        RoutingDecision decision = policy.decide(request(1, 800), all, parted((from, to) -> !from.equals(to)), 0)
                .orElseThrow();
        assertEquals(1, decision.plans().size(), "only what runs on one GPU: " + decision.plans());
        assertEquals("m0", decision.plan().prefillGpu());
    }

    /** Where no GPU hands blocks to another. */
    private RoutingDecision.Plan whole(Request request, List<Candidate> candidates) {
        return policy.decide(request, candidates, parted((from, to) -> !from.equals(to)), 0)
                .orElseThrow()
                .plan();
    }

    private static CostPolicy.Ways parted(BiPredicate<String, String> pairs) {
        return new CostPolicy.Ways(pairs, (from, to) -> false);
    }

    @Test
    void shouldCountTheTransferOfTheWayThatBlocksTake() {
        WorkerLoad decode = load("d");
        List<Candidate> all = List.of(
                worker("far", EngineRole.PREFILL, 0),
                worker("near", EngineRole.PREFILL, 0),
                new Candidate(decode, EngineRole.DECODE, 0, 50e6, 2e6, 1_000_000));
        for (int i = 0; i < 10; i++) {
            decode.bookDecode(100 + i, 1_000);
        }
        CostPolicy.Ways ways = new CostPolicy.Ways((from, to) -> false, (from, to) -> from.equals("near"));
        for (int id = 0; id < 10; id++) {
            RoutingDecision decision =
                    policy.decide(request(id, 8_000), all, ways, 0).orElseThrow();
            assertEquals("near", decision.plan().prefillGpu(), "both are idle");
            assertEquals(
                    48e6,
                    decision.plans().get(0).cost() - decision.plans().get(1).cost(),
                    1);
        }
    }

    @Test
    void shouldPreferTheGpuThatHasThePrefix() {
        List<Candidate> two = List.of(
                worker("p0", EngineRole.PREFILL, 0),
                worker("p1", EngineRole.PREFILL, 6000),
                worker("d0", EngineRole.DECODE, 0));
        RoutingDecision.Plan plan = route(request(1, 8000), two);
        assertEquals("p1", plan.prefillGpu());
        assertEquals("d0", plan.decodeGpu());
        assertEquals(2000, plan.uncachedTokens());
    }

    @Test
    void shouldLeaveThePrefixBehindWhenItsGpuIsTooBusy() {
        List<Candidate> two = List.of(
                worker("p0", EngineRole.PREFILL, 0),
                worker("p1", EngineRole.PREFILL, 2000),
                worker("d0", EngineRole.DECODE, 0));
        find("p1").bookPrefill(99, 60_000, 0);
        find("d0").bookDecode(98, 5000);
        find("d0").bookDecode(97, 5000);
        assertEquals("p0", route(request(1, 8000), two).prefillGpu());
    }

    @Test
    void shouldSpreadABurstOfSiblingsAlthoughNoReportHasCome() {
        List<Candidate> four = List.of(
                worker("p0", EngineRole.PREFILL, 512),
                worker("p1", EngineRole.PREFILL, 0),
                worker("p2", EngineRole.PREFILL, 0),
                worker("d0", EngineRole.DECODE, 0));
        int[] count = new int[3];
        for (int i = 0; i < 30; i++) {
            String gpu = route(request(i, 8000), four).prefillGpu();
            if (gpu.startsWith("p")) {
                count[gpu.charAt(1) - '0']++;
            }
        }
        for (int c : count) {
            assertTrue(c >= 8, "each takes its share");
        }
    }

    @Test
    void shouldNotSplitWhenADecodeGpuIsIdleAndThePrefillGpusAreBusy() {
        List<Candidate> both = List.of(worker("p0", EngineRole.PREFILL, 0), worker("d0", EngineRole.DECODE, 0));
        find("p0").bookPrefill(99, 50_000, 0);
        assertFalse(route(request(1, 1000), both).split());
    }

    @Test
    void shouldKeepPromptsAwayFromRunningDecodes() {
        List<Candidate> both = List.of(worker("p0", EngineRole.PREFILL, 0), worker("d0", EngineRole.DECODE, 0));
        for (int i = 0; i < 10; i++) {
            find("d0").bookDecode(100 + i, 5000);
        }
        find("p0").bookPrefill(99, 8000, 0);
        RoutingDecision.Plan plan = route(request(1, 4000), both);
        assertTrue(plan.split());
        assertEquals(0, plan.interferenceNanos(), "no decode runs on the prefill GPU");
    }

    @Test
    void shouldSayEveryPartOfTheCost() {
        List<Candidate> all = List.of(
                worker("p0", EngineRole.PREFILL, 0),
                worker("d0", EngineRole.DECODE, 0),
                worker("m0", EngineRole.MIXED, 0));
        for (int i = 0; i < 40; i++) {
            find("d0").bookDecode(100 + i, 20_000);
        }
        find("m0").bookDecode(200, 5000);
        find("p0").bookPrefill(99, 400_000, 0);
        RoutingDecision decision = policy.decide(request(1, 8000), all, 0).orElseThrow();
        assertTrue(decision.plans().stream().anyMatch(RoutingDecision.Plan::split));
        assertTrue(decision.plans().stream().anyMatch(p -> p.lateNanos() > 0));
        for (RoutingDecision.Plan p : decision.plans()) {
            assertEquals(p.split(), p.transferNanos() > 0, p.toString());
            double beyond = (CostSettings.DEFAULT.latePenalty() - 1) * (p.lateNanos() + p.slowNanos());
            double once = p.predictedTtftNanos() + p.workNanos() + p.transferNanos() + beyond;
            double beside = p.cost() - once;
            assertTrue(
                    Math.abs(beside - p.interferenceNanos()) < 1e-6 * p.cost()
                            || Math.abs(beside - CostSettings.DEFAULT.latePenalty() * p.interferenceNanos())
                                    < 1e-6 * p.cost(),
                    p.toString());
        }
    }

    @Test
    void shouldPackDecodesOfMixedGpusWithinTheTarget() {
        List<Candidate> four = new ArrayList<>();
        for (int i = 0; i < 4; i++) {
            four.add(worker("g" + i, EngineRole.MIXED, 0));
        }
        Set<String> decoding = new HashSet<>();
        for (int i = 0; i < 4; i++) {
            decoding.add(route(request(i, 4000), four).decodeGpu());
            loads.forEach(l -> l.stepEnded(100_000, 0, 0, 0, 170_000_000, 0));
        }
        assertEquals(1, decoding.size(), "15 ms with four of them: one GPU is enough");
        for (int i = 4; i < 200; i++) {
            RoutingDecision.Plan plan = route(request(i, 4000), four);
            decoding.add(plan.decodeGpu());
            loads.forEach(l -> l.stepEnded(100_000, 0, 0, 0, 170_000_000, 0));
        }
        assertTrue(decoding.size() > 1, "200 of them would take 50 ms on one");
    }

    @Test
    void shouldBreakTiesTheSameWayEveryTimeAndNotAlwaysForOneGpu() {
        Set<String> chosen = new HashSet<>();
        for (int i = 0; i < 50; i++) {
            List<Candidate> two = List.of(worker("a", EngineRole.MIXED, 0), worker("b", EngineRole.MIXED, 0));
            RoutingDecision first = policy.decide(request(i, 100), two, 0).orElseThrow();
            List<Candidate> reversed = List.of(two.get(1), two.get(0));
            RoutingDecision second = policy.decide(request(i, 100), reversed, 0).orElseThrow();
            assertEquals(first.plan().decodeGpu(), second.plan().decodeGpu());
            chosen.add(first.plan().decodeGpu());
        }
        assertEquals(2, chosen.size());
    }

    @Test
    void shouldExplainEveryPlanItWeighed() {
        List<Candidate> all = List.of(
                worker("p0", EngineRole.PREFILL, 512),
                worker("p1", EngineRole.PREFILL, 0),
                worker("d0", EngineRole.DECODE, 0));
        RoutingDecision decision = policy.decide(request(1, 4000), all, 0).orElseThrow();
        assertEquals(3, decision.plans().size());
        for (RoutingDecision.Plan plan : decision.plans()) {
            assertTrue(plan.cost() >= decision.plan().cost());
            assertTrue(plan.predictedTtftNanos() > 0 && plan.predictedItlNanos() > 0);
        }
        assertTrue(decision.reason().contains("512 of 4000"), decision.reason());
    }

    @Test
    void shouldHaveNoAnswerWithoutAGpuThatDecodes() {
        assertTrue(policy.decide(request(1, 10), List.of(worker("p0", EngineRole.PREFILL, 0)), 0)
                .isEmpty());
    }

    @Test
    void shouldTakeBackWhatItBooked() {
        WorkerLoad load = load("g");
        load.bookPrefill(1, 5000, 0);
        load.bookDecode(1, 6000);
        load.bookPrefill(2, 3000, 0);
        load.prefillEnded(2);
        assertEquals(1, load.decodes());
        assertNotEquals(0, load.backlogTokens());
        load.finished(1);
        load.finished(1);
        assertEquals(0, load.decodes());
        assertEquals(0, load.backlogTokens());
        assertEquals(0, load.contextTokens());
    }

    @Test
    void shouldCreditTheTimeAChunkHasRunAlready() {
        WorkerLoad load = load("g");
        load.bookPrefill(1, 8192, 0);
        double atStart = load.prefillEndNanos(0, 0);
        assertEquals(atStart - 50e6, load.prefillEndNanos(0, 50_000_000), 1);
        assertTrue(load.prefillEndNanos(0, 10_000_000_000L) >= 0, "never before now");
    }

    @Test
    void shouldCountTheWaitForRoomOnAFullGpu() {
        WorkerLoad full = load("g");
        for (int i = 0; i < 10; i++) {
            full.bookDecode(100 + i, 10_000);
        }
        double fits = wait(full, 8000);
        assertEquals(fits, wait(full, 4000), "the prompt just fits");
        double step = full.decodeStepNanos(0, 0);
        double mean = wait(full, 0) - fits;
        assertEquals(0.04 * 300 * step * 3, mean, 1e3, "4,000 of 100,000 tokens go in 4 % of an output; 2 deviations");
        double eight = full.steps().decodeNanos(8, 80_000);
        double ends = 8 * 24_000 / 80_000.0;
        assertEquals(
                0.3 * 300 * eight * (1 + 2 / Math.sqrt(ends)),
                wait(full, -20_000) - fits,
                1e3,
                "what waits there goes before, and is in no step");
    }

    @Test
    void shouldLeaveMoreOfTheItlTargetWherePromptsComeBesideDecodes() {
        WorkerLoad alone = load("alone");
        WorkerLoad beside = load("beside");
        alone.bookDecode(1, 1_000);
        beside.bookDecode(1, 1_000);
        beside.promptShareReported(0.5, 0);
        double step = alone.steps().decodeNanos(2, 2_150);
        assertEquals(step, plan(alone).predictedItlNanos(), 0.03 * step, "its own prompt only");
        assertTrue(plan(beside).predictedItlNanos() > 1.03 * 2 * step, "half of all are above the mean");
    }

    private RoutingDecision.Plan plan(WorkerLoad load) {
        Candidate only = new Candidate(load, EngineRole.MIXED, 0, 0, 1_000_000);
        return policy.decide(request(9, 2_000), List.of(only), 0).orElseThrow().plan();
    }

    /** Prompts come beside decodes on MIXED GPUs; on a DECODE GPU one was computed because nothing suffered by it. */
    @Test
    void shouldNotExpectMorePromptsOnADecodeGpuThatComputedOne() {
        for (EngineRole role : List.of(EngineRole.DECODE, EngineRole.MIXED)) {
            Candidate gpu = worker("of role " + role, role, 0);
            double before = itl(gpu);
            gpu.load().promptShareReported(0.3, 0);
            assertEquals(role == EngineRole.DECODE, itl(gpu) == before, role + ": " + before + " and " + itl(gpu));
            gpu.load().bookPrefill(7, 80_000, 0);
            assertTrue(itl(gpu) > before, "what waits there now counts on either");
        }
    }

    private double itl(Candidate only) {
        return policy.decide(request(1, 1_000), List.of(only), 0)
                .orElseThrow()
                .plan()
                .predictedItlNanos();
    }

    @Test
    void shouldPredictTheItlOfThoseThatRunNotOfThoseThatWaitForRoom() {
        WorkerLoad full = load("g");
        for (int i = 0; i < 300; i++) {
            full.bookDecode(100 + i, 1_000);
        }
        Candidate worker = new Candidate(full, EngineRole.DECODE, 0, 0, -100_000);
        double itl = policy.decide(request(1, 1_000), List.of(worker), 0)
                .orElseThrow()
                .plan()
                .predictedItlNanos();
        double running = full.steps().decodeNanos(201, 201_150);
        assertTrue(itl >= running && itl < 1.05 * running, itl + " instead of " + running);
    }

    @Test
    void shouldSendOutputsWhereRoomComesSoonestWhenAllAreFull() {
        Candidate prefill = worker("p", EngineRole.PREFILL, 0);
        WorkerLoad light = load("light");
        WorkerLoad heavy = load("heavy");
        for (int i = 0; i < 100; i++) {
            light.bookDecode(100 + i, 1_000);
            heavy.bookDecode(200 + i, 1_200);
        }
        List<Candidate> all = List.of(
                prefill,
                new Candidate(light, EngineRole.DECODE, 0, 0, -20_000),
                new Candidate(heavy, EngineRole.DECODE, 0, 0, -1_000));
        assertEquals("heavy", route(request(1, 1_000), all).decodeGpu(), "the faster one has twenty before it");
    }

    @Test
    void shouldLetRoomGetFreeWhileThePromptIsComputedElsewhere() {
        Candidate prefill = worker("p", EngineRole.PREFILL, 0);
        find("p").bookPrefill(99, 40_000, 0);
        WorkerLoad full = load("d");
        for (int i = 0; i < 100; i++) {
            full.bookDecode(100 + i, 1_000);
        }
        double withRoom = splitTtft(prefill, full, 50_000);
        assertTrue(withRoom > 0.8e9, "800 ms of prompts are before it: " + withRoom);
        assertEquals(withRoom, splitTtft(prefill, full, -1_000), 1, "two ends take some 400 ms");
        assertTrue(splitTtft(prefill, full, -20_000) > withRoom, "those before it take longer than that");
    }

    private double splitTtft(Candidate prefill, WorkerLoad decode, long freeTokens) {
        RoutingDecision.Plan plan = policy.decide(
                        request(1, 1_000),
                        List.of(prefill, new Candidate(decode, EngineRole.DECODE, 0, 0, freeTokens)),
                        0)
                .orElseThrow()
                .plans()
                .getFirst();
        assertTrue(plan.split());
        return plan.predictedTtftNanos();
    }

    @Test
    void shouldNotChooseAPlanThatMissesATargetWhileAnotherMeetsBoth() {
        // "flipped" took prompts until a moment ago: hardly a decode there, but predicted to have 20 times the step.
        List<Candidate> all = List.of(
                worker("p", EngineRole.PREFILL, 0),
                worker("d", EngineRole.DECODE, 0),
                worker("flipped", EngineRole.DECODE, 0));
        find("p").bookPrefill(99, 60_000, 0);
        for (int i = 0; i < 50; i++) {
            find("d").bookDecode(100 + i, 1_000);
        }
        find("flipped").promptShareReported(0.95, 0);
        RoutingDecision.Plan plan =
                policy.decide(request(1, 1_000), all, 0).orElseThrow().plan();
        assertTrue(plan.predictedItlNanos() <= ITL, plan.toString());
        assertTrue(plan.predictedTtftNanos() <= TTFT, plan.toString());
        find("flipped").roleChanged(0);
        assertEquals(
                "flipped",
                policy.decide(request(1, 1_000), all, 0).orElseThrow().plan().prefillGpu(),
                "what it had to do in its old role says nothing of the new one");
    }

    @Test
    void shouldNotPayForTheItlOfARequestThatHasNone() {
        List<Candidate> two = List.of(worker("home", EngineRole.MIXED, 3_000), worker("other", EngineRole.MIXED, 0));
        find("home").promptShareReported(0.95, 0);
        assertEquals("other", whole(request(1, 4_000), two).prefillGpu(), "its ITL there would miss the target");
        RoutingDecision.Plan plan = route(new Request(2, 4_000, TTFT, ITL, ITL, 1), two);
        assertEquals("home", plan.prefillGpu());
        assertEquals(0, plan.predictedItlNanos());
        assertEquals(0, find("home").decodes());
        find("home").prefillEnded(2);
        assertEquals(0, find("home").backlogTokens(), "the prompt was booked");
    }

    @Test
    void shouldKeepADecodeSafeFromThePromptOfARequestOfOneToken() {
        List<Candidate> two = List.of(worker("busy", EngineRole.DECODE, 500), worker("free", EngineRole.DECODE, 0));
        for (int i = 0; i < 40; i++) {
            find("busy").bookDecode(100 + i, 1_000);
        }
        assertEquals(
                "free", route(new Request(1, 4_000, TTFT, ITL, ITL, 1), two).prefillGpu());
    }

    @Test
    void shouldExpectNoLongerOutputThanMayCome() {
        WorkerLoad load = load("g");
        Candidate only = new Candidate(load, EngineRole.DECODE, 0, 0, 1_000_000);
        double[] outputs = new double[3];
        int[] limits = {1, 31, 1_000};
        for (int i = 0; i < 3; i++) {
            Request request = new Request(i, 2_000, TTFT, ITL, ITL, limits[i]);
            outputs[i] = policy.outputNanos(load.steps(), request);
            policy.decide(request, List.of(only), 0).ifPresent(d -> policy.book(request, d.plan(), load, load, 0));
        }
        assertEquals(0, outputs[0]);
        assertEquals(outputs[2] / 10, outputs[1], 1, "30 steps instead of 300");
        assertEquals(2_015 + 2_150, load.contextTokens(), 1);
    }

    @Test
    void shouldGoWhereThePrefixIsUnlessTheItlThereFailsTheClass() {
        List<Candidate> two = List.of(worker("home", EngineRole.MIXED, 3_000), worker("other", EngineRole.MIXED, 0));
        find("home").promptShareReported(0.95, 0);
        double itl = policy.decide(request(1, 4_000), two.subList(0, 1), 0)
                .orElseThrow()
                .plan()
                .predictedItlNanos();
        assertTrue(itl > ITL, "the prompts of late let it be feared");
        CostPolicy.Request wide = new CostPolicy.Request(1, 4_000, TTFT, ITL, 20 * ITL, 1_000);
        assertEquals("home", whole(wide, two).prefillGpu());
        assertEquals("other", whole(request(1, 4_000), two).prefillGpu());
    }

    private double wait(WorkerLoad load, long freeTokens) {
        return policy.decide(request(1, 4000), List.of(new Candidate(load, EngineRole.MIXED, 0, 0, freeTokens)), 0)
                .orElseThrow()
                .plan()
                .predictedTtftNanos();
    }

    @Test
    void shouldLearnHowLongOutputsAre() {
        for (int i = 0; i < 1000; i++) {
            policy.outputEnded(50);
        }
        assertEquals(50, policy.expectedOutputTokens(), 1);
    }

    @Test
    void shouldBookTheContextOfDecodesThatAreMetUnderWay() {
        for (int i = 0; i < 2000; i++) {
            policy.outputEnded(i % 2 == 0 ? 10 : 390);
        }
        route(request(1, 1000), List.of(worker("g", EngineRole.MIXED, 0)));
        double half = (10 * 10 + 390 * 390) / (10 + 390.0) / 2;
        assertEquals(1000 + half, find("g").contextTokens(), 3, "nearly all steps are those of long outputs");
    }

    @Test
    void shouldPredictTheItlOfDecodesBesideAPrompt() {
        Candidate only = worker("g", EngineRole.MIXED, 0);
        find("g").bookDecode(9, 5000);
        double alone = find("g").decodeStepNanos(1, 4150);
        RoutingDecision.Plan plan =
                policy.decide(request(1, 4000), List.of(only), 0).orElseThrow().plan();
        assertTrue(plan.predictedItlNanos() > 0.9 * alone, "the prompt's time is spread over an output");
        find("g").stepEnded(8192, 0, 1, 5000, 180_000_000, 4_000_000_000L);
        double share = find("g").promptShare(4_000_000_000L);
        assertTrue(share > 0 && share < 1);
        assertTrue(
                find("g").promptShare(40_000_000_000L) < 0.01 * share, "a GPU that does nothing is not busy for ever");
    }
}
