package io.tandem.routing;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.typesafe.config.ConfigFactory;
import io.tandem.engine.EngineRole;
import io.tandem.engine.EngineStats;
import io.tandem.transfer.TransferStats;
import io.tandem.worker.TestWorker;
import io.tandem.worker.WorkerReport;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.junit.jupiter.api.Test;

class RequestRouterTest {
    private static final StepTimes MEASURED =
            new StepTimes(new double[] {10e6, 0, 50, 0}, new double[] {1e6, 20_000, 0, 0}, 100, 100);

    private final WorkerDirectory directory = new WorkerDirectory();
    private final Map<String, WorkerDirectory.Entry> entries = new HashMap<>();
    private final BlockFeed feed = new BlockFeed(new PrefixIndex(8, 10_000), 1);
    private final RequestRouter router = router("");
    private long now = 1_000_000_000L;
    private long lastId;

    private RequestRouter router(String more) {
        var config = ConfigFactory.parseString(more).withFallback(ConfigFactory.load());
        return new RequestRouter(directory, feed, RoutingSettings.from(config), CostSettings.DEFAULT, 7);
    }

    private static EngineStats stats(EngineRole role, int decodes, long promptTokens) {
        return new EngineStats(
                role, 0, decodes, 0, 0, promptTokens, decodes, 500L * decodes, 10_000, 10_000, 0, 0, 0, 0, 0, 0, 0);
    }

    private WorkerReport report(String gpu, EngineRole role, String layout, long epoch, StepTimes steps) {
        return TestWorker.named(gpu)
                .epoch(epoch)
                .layout(layout)
                .maxTokens(100_000)
                .stats(stats(role, 0, 0))
                .facts(new WorkerFacts(512, 64, 16, 16_384, 0, steps, 0))
                .report();
    }

    private void worker(String gpu, EngineRole role) {
        add(report(gpu, role, "layout", 1, MEASURED));
    }

    private void add(WorkerReport report) {
        entries.put(report.gpuId(), new WorkerDirectory.Entry(report, true, now));
        directory.publish(new ArrayList<>(entries.values()));
    }

    private void load(String gpu, int decodes, long promptTokens) {
        WorkerReport r = entries.get(gpu).report();
        now += 1_000_000;
        add(TestWorker.like(r).stats(stats(r.role(), decodes, promptTokens)).report());
    }

    private RouteQuery query(int tokens, String session, Set<String> avoid) {
        return query(tokens, 1_000, session, avoid);
    }

    private RouteQuery query(int tokens, int maxNewTokens, String session, Set<String> avoid) {
        return new RouteQuery(
                ++lastId,
                "f",
                tokens,
                maxNewTokens,
                PromptKeys.NONE,
                session,
                avoid,
                2_000_000_000L,
                50_000_000L,
                50_000_000L);
    }

    private Routed route(int tokens) {
        return router.route(query(tokens, "", Set.of()), now).orElseThrow();
    }

    @Test
    void shouldPredictFromWhatTheWorkerMeasured() {
        worker("a", EngineRole.MIXED);
        RoutingDecision.Plan plan = route(2048).decision().plan();
        assertEquals(4 * (1e6 + 512 * 20_000), plan.predictedTtftNanos(), 1e3, "four chunks");
        assertEquals(10e6 + 50 * (2048 + 150), plan.predictedItlNanos(), 1e3);
    }

    private void shouldRestAPairThatDoesNotReach(RequestRouter router) {
        add(report("p", EngineRole.PREFILL, "layout", 1, MEASURED));
        worker("d0", EngineRole.DECODE);
        worker("d1", EngineRole.DECODE);
        load("d0", 2, 0);
        load("d1", 4, 0);
        Route first =
                router.route(query(40_000, "", Set.of()), now).orElseThrow().route();
        assertEquals("p d0", first.prefillGpu() + " " + first.decodeGpu());
        router.over(lastId, now);

        router.parted(first, now);
        for (long at : new long[] {now, now + 9_999_000_000L}) {
            Route other =
                    router.route(query(40_000, "", Set.of()), at).orElseThrow().route();
            assertFalse(other.prefillGpu().equals("p") && other.decodeGpu().equals("d0"), other.toString());
            router.over(lastId, at);
        }
        assertEquals(
                "d0",
                router.route(query(40_000, "", Set.of()), now + 10_000_000_000L)
                        .orElseThrow()
                        .route()
                        .decodeGpu(),
                "tried again");
        router.over(lastId, now);

        router.parted(first, now);
        add(report("p", EngineRole.PREFILL, "layout", 2, MEASURED));
        assertEquals(
                "p d0",
                router.route(query(40_000, "", Set.of()), now)
                        .map(r -> r.route().prefillGpu() + " " + r.route().decodeGpu())
                        .orElseThrow(),
                "another process may reach it");
    }

    @Test
    void shouldNotSendAPromptToAWorkerThatIsTooSmallForIt() {
        worker("large", EngineRole.MIXED);
        load("large", 30, 50_000);
        WorkerReport r = report("small", EngineRole.MIXED, "layout", 1, MEASURED);
        add(TestWorker.like(r).maxTokens(1_000).report());
        assertEquals("small", route(999).route().decodeGpu());
        assertEquals("large", route(1_000).route().decodeGpu());
        assertEquals(
                "large",
                router.route(query(1_000, "", Set.of("large")), now)
                        .orElseThrow()
                        .route()
                        .decodeGpu(),
                "one to avoid is better than one that cannot");
        assertTrue(router.route(query(200_000, "", Set.of()), now).isPresent(), "all are too small: one says so");
    }

    @Test
    void shouldNotMoveToAWorkerThatTheOldOneDoesNotReach() {
        worker("here", EngineRole.DECODE);
        worker("near", EngineRole.DECODE);
        worker("roomy", EngineRole.DECODE);
        load("near", 4, 0);
        directory.countInFlight("near", 4);
        Route first = router.moveTarget("here", 100, 1_000, now).orElseThrow();
        assertEquals("roomy", first.decodeGpu());
        router.parted(new Route("here", 1, "roomy", first.decodeEpoch(), "moved"), now);
        assertEquals(
                "near", router.moveTarget("here", 100, 1_000, now).orElseThrow().decodeGpu());
        router.parted(new Route("here", 1, "near", 1, "moved"), now);
        assertEquals(Optional.empty(), router.moveTarget("here", 100, 1_000, now + 9_999_000_000L));
        assertEquals(
                "roomy",
                router.moveTarget("here", 100, 1_000, now + 10_000_000_000L)
                        .orElseThrow()
                        .decodeGpu());
    }

    @Test
    void shouldMoveOnlyWhereTheSequenceHasRoomAndRatherWhereItCanEnd() {
        worker("here", EngineRole.DECODE);
        sized("small", 5_000, 10_000);
        sized("medium", 20_000, 1_300);
        assertEquals("small", moveTarget(1_000, 4_000), "the one with most room that holds all of it");
        assertEquals("medium", moveTarget(1_000, 8_000), "where it need not end early");
        assertEquals("medium", moveTarget(5_000, 8_000), "the other does not hold a token more");
        assertEquals("small", moveTarget(4_000, 30_000), "neither holds all of it, but it may end before");
        assertEquals("", moveTarget(20_000, 30_000), "no worker is large enough");
        sized("medium", 20_000, 10);
        assertEquals("", moveTarget(6_000, 8_000), "160 tokens are free there now");
        assertEquals("small", moveTarget(1_000, 4_000));
        load("small", 64, 0);
        assertEquals("", moveTarget(1_000, 4_000), "as many run there as can");
    }

    private String moveTarget(int contextTokens, int tokensMax) {
        return router.moveTarget("here", contextTokens, tokensMax, now)
                .map(Route::decodeGpu)
                .orElse("");
    }

    /** A DECODE worker of 10,000 blocks of 16 tokens. */
    private void sized(String gpu, int maxTokens, int freeBlocks) {
        WorkerReport r = report(gpu, EngineRole.DECODE, "layout", 1, MEASURED);
        EngineStats s = new EngineStats(
                EngineRole.DECODE, 0, 0, 0, 0, 0, 0, 0, 10_000, freeBlocks, 0, 1, 0, 0, 0, 0, 10_000_000);
        add(new WorkerReport(
                gpu,
                r.node(),
                r.epoch(),
                r.model(),
                r.modelFingerprint(),
                r.kvSignature(),
                r.backend(),
                r.transferWire(),
                false,
                maxTokens,
                s,
                r.facts()));
    }

    @Test
    void shouldRestAPairThatDoesNotReachByCost() {
        shouldRestAPairThatDoesNotReach(router);
    }

    @Test
    void shouldRestAPairThatDoesNotReachByLoad() {
        shouldRestAPairThatDoesNotReach(router("tandem.routing.policy = least-loaded"));
    }

    @Test
    void shouldTakeAWorkerThatHasMeasuredNothingForAsFastAsItsLike() {
        worker("a", EngineRole.MIXED);
        add(report("b", EngineRole.MIXED, "layout", 1, StepTimes.NOTHING));
        RoutingDecision decision = route(2048).decision();
        assertEquals(2, decision.plans().size());
        assertEquals(
                decision.plans().get(0).predictedTtftNanos(),
                decision.plans().get(1).predictedTtftNanos(),
                1e3);
    }

    @Test
    void shouldSpreadABurstBeforeAnyReportShowsIt() {
        for (String gpu : List.of("a", "b", "c", "d")) {
            worker(gpu, EngineRole.MIXED);
        }
        Map<String, Integer> prompts = new HashMap<>();
        for (int i = 0; i < 20; i++) {
            prompts.merge(route(4096).route().prefillGpu(), 1, Integer::sum);
        }
        assertTrue(prompts.size() >= 3, prompts.toString());
        assertTrue(prompts.values().stream().allMatch(n -> n <= 8), prompts.toString());
    }

    @Test
    void shouldSeeWhatOtherRoutersSentThere() {
        worker("a", EngineRole.MIXED);
        worker("b", EngineRole.MIXED);
        load("a", 0, 50_000);
        for (int i = 0; i < 5; i++) {
            Routed routed = route(100);
            assertEquals("b", routed.route().prefillGpu());
            router.over(lastId, now);
        }
        load("a", 0, 0);
        load("b", 0, 50_000);
        assertEquals("a", route(100).route().prefillGpu());
    }

    @Test
    void shouldForgetABookingWhenItIsOver() {
        worker("a", EngineRole.MIXED);
        double alone = route(4096).decision().plan().predictedTtftNanos();
        double behind = route(4096).decision().plan().predictedTtftNanos();
        assertTrue(behind > 1.9 * alone, alone + " then " + behind);
        router.over(lastId, now);
        router.over(lastId - 1, now);
        assertEquals(alone, route(4096).decision().plan().predictedTtftNanos(), 1e3);
        router.promptComputed(lastId);
        double beside = route(4096).decision().plan().predictedTtftNanos();
        assertTrue(beside >= alone && beside < 0.6 * behind, "its prompt is done, it decodes: " + beside);
    }

    @Test
    void shouldBookNothingWhenItOnlyPredicts() {
        worker("a", EngineRole.MIXED);
        double first = router.predict(query(4096, "", Set.of()), now)
                .orElseThrow()
                .plan()
                .predictedTtftNanos();
        double second = router.predict(query(4096, "", Set.of()), now)
                .orElseThrow()
                .plan()
                .predictedTtftNanos();
        assertEquals(first, second);
    }

    @Test
    void shouldNeitherSplitAShortPromptNorPairDifferentLayouts() {
        worker("p", EngineRole.PREFILL);
        worker("d", EngineRole.DECODE);
        load("d", 8, 0);
        Route shortOne = route(20).route();
        assertEquals("d", shortOne.prefillGpu(), "below split-from-tokens");
        assertTrue(route(4096).route().split(), "a long prompt would delay eight decodes");

        add(report("p", EngineRole.PREFILL, "another layout", 1, MEASURED));
        assertFalse(route(4096).route().split());
    }

    @Test
    void shouldGoWhereThePrefixIsCachedOrOnItsWay() {
        worker("a", EngineRole.MIXED);
        worker("b", EngineRole.MIXED);
        PromptKeys keys = PromptKeys.of("f", 16, 0, new int[2001]);
        long[] words = {1L << 62 | 2L << 32, 0, keys.hashes()[0], keys.hashes()[1]};
        feed.onWorkers(directory.entries(), now);
        feed.onSnapshot(new BlockFeedMessage.Snapshot("b", 1, 0, 0, 1, words), now);
        RouteQuery query =
                new RouteQuery(1, "f", 2001, 1_000, keys, "", Set.of(), 2_000_000_000L, 50_000_000L, 50_000_000L);
        Routed first = router.route(query, now).orElseThrow();
        assertEquals("b", first.route().prefillGpu());
        assertEquals(32, first.decision().plan().cachedTokens());
        assertFalse(first.route().split(), "both are idle");
        router.over(1, now);
        RoutingDecision next = router.predict(query, now).orElseThrow();
        assertEquals("b", next.plan().prefillGpu());
        assertEquals(2000, next.plan().cachedTokens(), "sent there a moment ago");
        assertEquals(
                32,
                router.predict(query, now + 60_000_000_000L)
                        .orElseThrow()
                        .plan()
                        .cachedTokens());
    }

    @Test
    void shouldServeARequestOfOneTokenWholeWhereItsPromptIsSoonestDone() {
        for (RequestRouter each : List.of(router, router("tandem.routing.policy = least-loaded"))) {
            worker("p", EngineRole.PREFILL);
            worker("d", EngineRole.DECODE);
            load("d", 8, 20_000);
            for (int tokens : new int[] {20, 4096}) {
                Routed one = each.route(query(tokens, 1, "", Set.of()), now).orElseThrow();
                assertEquals("p", one.route().decodeGpu(), "nothing is decoded, so nothing needs to go elsewhere");
                assertFalse(one.route().split());
                assertEquals(0, one.decision().plan().predictedItlNanos());
                assertEquals(0, each.itlNanos("p", 0, 0), "no decode is booked");
                each.over(lastId, now);
            }
            assertTrue(each.route(query(4096, 2, "", Set.of()), now)
                    .orElseThrow()
                    .route()
                    .split());
            each.over(lastId, now);
        }
    }

    @Test
    void shouldUsePrefillWorkersForAllWhenThereIsNothingElse() {
        worker("p", EngineRole.PREFILL);
        assertEquals("p", route(1000).route().decodeGpu());
        assertEquals("p", route(10).route().decodeGpu());
    }

    @Test
    void shouldAvoidWhatFailedUnlessThereIsNoOther() {
        worker("a", EngineRole.MIXED);
        worker("b", EngineRole.MIXED);
        load("b", 20, 20_000);
        assertEquals(
                "b",
                router.route(query(100, "", Set.of("a")), now)
                        .orElseThrow()
                        .route()
                        .decodeGpu());
        assertNotEquals(
                "",
                router.route(query(100, "", Set.of("a", "b")), now)
                        .orElseThrow()
                        .route()
                        .decodeGpu());
    }

    @Test
    void shouldKeepASessionOnItsWorkerWhileThatCostsLittle() {
        worker("a", EngineRole.MIXED);
        worker("b", EngineRole.MIXED);
        worker("c", EngineRole.MIXED);
        Route last = router.route(query(20, "s", Set.of()), now).orElseThrow().route();
        router.over(lastId, now);
        for (int i = 0; i < 20; i++) {
            Route next =
                    router.route(query(20, "s", Set.of()), now).orElseThrow().route();
            assertEquals(last.prefillGpu(), next.prefillGpu());
            router.over(lastId, now);
        }
        load(last.prefillGpu(), 0, 100_000);
        Routed away = router.route(query(20, "s", Set.of()), now).orElseThrow();
        assertNotEquals(last.prefillGpu(), away.route().prefillGpu(), "seconds of queue are not worth it");
    }

    @Test
    void shouldBelieveANewIncarnationIsIdle() {
        worker("a", EngineRole.MIXED);
        double alone = route(4096).decision().plan().predictedTtftNanos();
        now += 1_000_000;
        add(report("a", EngineRole.MIXED, "layout", 2, MEASURED));
        Routed fresh = route(4096);
        assertEquals(alone, fresh.decision().plan().predictedTtftNanos(), 1e3);
        assertEquals(2, fresh.route().decodeEpoch());
        router.over(1, now);
        assertTrue(route(4096).decision().plan().predictedTtftNanos() > 1.9 * alone, "the old booking ended the new");
    }

    @Test
    void shouldPredictUnderTheOtherPolicyToo() {
        RequestRouter other = router("tandem.routing.policy = least-loaded");
        worker("p", EngineRole.PREFILL);
        worker("d", EngineRole.DECODE);
        Routed routed = other.route(query(4096, "", Set.of()), now).orElseThrow();
        assertTrue(routed.route().split());
        RoutingDecision.Plan plan = routed.decision().plan();
        assertEquals("p", plan.prefillGpu());
        assertEquals("d", plan.decodeGpu());
        assertTrue(plan.predictedTtftNanos() > 0 && plan.predictedItlNanos() > 0);
    }

    @Test
    void shouldCountTheTimeThatMeasuredTransfersTake() {
        TransferRates rates = new TransferRates(1e9, 1e6);
        assertEquals(1e6 + 4e6, rates.nanos("udp", 4e6), 1);
        rates.measured("udp", stats(100, 1, 0, 0));
        assertEquals(1e9, rates.bytesPerSecond("udp"), 1, "a small transfer says nothing of the rate");
        rates.measured("udp", stats(4 << 20, 1_000_000, 0, 0));
        for (int i = 0; i < 60; i++) {
            rates.measured("udp", stats(8_000_000, 5_000_000, 4_000_000, 0));
            rates.measured("udp", stats(8_000_000, 1_000_000, 0, 1));
        }
        assertEquals(8e9, rates.bytesPerSecond("udp"), 1e7);
        assertEquals(1e9, rates.bytesPerSecond("ipc"), 1, "another wire");
        rates.measured("ipc", stats(80_000_000, 100_000, 0, 4));
        rates.measured("ipc", stats(80_000_000, 0, 0, 4));
        assertEquals(1e9, rates.bytesPerSecond("ipc"), 1, "these went from device to device");
        assertEquals(8e11, rates.bytesPerSecond(TransferRates.DIRECT), 1e7);
        assertEquals(0, rates.nanos("udp", 0), "nothing to move takes no time");
    }

    /** Of four blocks. */
    private static TransferStats stats(long bytes, long nanos, long waitedNanos, int directBlocks) {
        return new TransferStats(4, bytes, nanos, waitedNanos, 0, directBlocks);
    }

    @Test
    void shouldKnowWhichPairsMoveBlocksFromDeviceToDevice() {
        worker("p", EngineRole.PREFILL);
        worker("q", EngineRole.PREFILL);
        worker("d", EngineRole.DECODE);
        load("d", 8, 0);
        assertTrue(router.route(query(40_000, "", Set.of("q")), now).isPresent());
        router.transferred(lastId, "d", stats(40_000_000, 100_000, 0, 4), now);
        router.over(lastId, now);
        Map<String, Double> costs = splitCosts(now);
        double stream = (40_000 / 16) * 16_384.0 / (1 << 30);
        assertEquals(stream, costs.get("q") - costs.get("p"), 0.01 * stream, costs.toString());
        assertTrue(router.route(query(40_000, "", Set.of("q")), now).isPresent());
        router.transferred(lastId, "d", stats(40_000_000, 40_000_000, 0, 0), now);
        router.over(lastId, now);
        costs = splitCosts(now);
        assertEquals(costs.get("q"), costs.get("p"), 1e-6, "by the stream again");
    }

    /** Seconds, by the GPU that computes the prompt. */
    private Map<String, Double> splitCosts(long at) {
        Map<String, Double> costs = new HashMap<>();
        for (RoutingDecision.Plan plan :
                router.predict(query(40_000, "", Set.of()), at).orElseThrow().plans()) {
            costs.put(plan.prefillGpu(), plan.cost() / 1e9);
        }
        return costs;
    }

    @Test
    void shouldForgetSessionsByAgeAndByNumber() {
        SessionHomes homes = new SessionHomes(3, 100);
        Route route = new Route("a", 1, "b", 1, "");
        for (int i = 0; i < 5; i++) {
            homes.served("s" + i, route, i);
        }
        assertEquals(3, homes.size());
        assertEquals(null, homes.find("s1", 5));
        assertTrue(homes.find("s4", 5).has("b"));
        homes.served("t", route, 200);
        assertEquals(1, homes.size());
    }

    @Test
    void shouldMoveTheBookingOfARequestThatMoves() {
        worker("a", EngineRole.MIXED);
        worker("b", EngineRole.MIXED);
        Route route = route(4096).route();
        router.promptComputed(lastId);
        String to = route.decodeGpu().equals("a") ? "b" : "a";
        double alone = router.itlNanos(to, 0, 0);
        double decoding = router.itlNanos(route.decodeGpu(), 0, 0);
        assertEquals(0, alone);
        router.moved(lastId, to);
        assertEquals(decoding, router.itlNanos(to, 0, 0), 1);
        assertEquals(0, router.itlNanos(route.decodeGpu(), 0, 0));
        router.over(lastId, now);
        assertEquals(0, router.itlNanos(to, 0, 0), "the end is booked where it runs now");
        router.moved(lastId, "a");
        assertEquals(0, router.itlNanos("a", 0, 0), "what is over does not move");
    }

    @Test
    void shouldCountBookedTokensAsTakenBeforeAnyReportShowsThem() {
        worker("p", EngineRole.PREFILL);
        worker("d", EngineRole.DECODE);
        double first = route(40_000).decision().plan().predictedTtftNanos();
        router.promptComputed(lastId);
        double second = route(40_000).decision().plan().predictedTtftNanos();
        router.promptComputed(lastId);
        for (int i = 0; i < 2; i++) {
            route(40_000);
            router.promptComputed(lastId);
        }
        double fifth = route(40_000).decision().plan().predictedTtftNanos();
        assertEquals(first, second, 1e6, "160,000 tokens have room for both");
        assertTrue(fifth > first + 1e9, "the pool is booked out, an output must end first: " + fifth);
    }

    @Test
    void shouldTakeTheShareOfPromptsFromTheReport() {
        WorkerReport r = report("a", EngineRole.MIXED, "layout", 1, MEASURED);
        add(r);
        double idle = route(100).decision().plan().predictedItlNanos();
        router.over(lastId, now);
        now += 1_000_000;
        add(TestWorker.like(r)
                .facts(new WorkerFacts(512, 64, 16, 16_384, 0, MEASURED, 0.5))
                .report());
        double busy = route(100).decision().plan().predictedItlNanos();
        assertTrue(busy >= 2 * idle && busy < 2.1 * idle, "half its time goes to prompts, and chance: " + busy);
    }

    @Test
    void shouldExpectOutputsAsLongAsThoseThatEnded() {
        worker("a", EngineRole.MIXED);
        double before =
                router.outlook(query(1000, "", Set.of()), now).orElseThrow().outputNanos();
        for (int i = 0; i < 1000; i++) {
            router.outputEnded(30);
        }
        double after =
                router.outlook(query(1000, "", Set.of()), now).orElseThrow().outputNanos();
        assertEquals(before / 10, after, before / 1000, "30 tokens instead of 300");
    }

    /** The registry publishes from a thread of its own, also while a request is weighed. */
    @Test
    void shouldBookOnAWorkerThatIsLostWhileItDecides() {
        worker("a", EngineRole.MIXED);
        Set<String> losing = new HashSet<>() {
            @Override
            public boolean contains(Object gpu) {
                directory.publish(List.of());
                return false;
            }
        };
        long id = lastId + 1;
        Routed routed = router.route(query(100, "", losing), now).orElseThrow();
        assertEquals("a", routed.route().decodeGpu());
        router.over(id, now);
        assertTrue(router.route(query(100, "", Set.of()), now).isEmpty());
    }
}
