package io.tandem.admission;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.tandem.admission.Verdict.Cause;
import io.tandem.admission.Verdict.Dispatch;
import io.tandem.admission.Verdict.Reject;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class AdmissionPolicyTest {
    private static final String[] TIERS = {"default", "priority", "flex"};

    @Test
    void shouldSendARequestOnAtOnceWhenItsGpuIsFree() {
        VirtualCluster cluster = new VirtualCluster(Classes.settings(), 1);
        cluster.arrival(0, 1, "a", "default", 1000, 10);
        cluster.run();
        Dispatch dispatch = assertInstanceOf(Dispatch.class, cluster.verdict(1));
        assertEquals(0, dispatch.queuedNanos());
    }

    @Test
    void shouldRefuseEveryClassWhoseFirstTokenWouldBeLateAndSayWhenToRetry() {
        VirtualCluster cluster = new VirtualCluster(Classes.settings(), 1);
        // 1.5 s of prompts are before them.
        for (int i = 0; i < 15; i++) {
            cluster.arrival(i, i, "a", "default", 1000, 1);
        }
        cluster.arrival(100, 20, "b", "priority", 4500, 1);
        cluster.arrival(100, 21, "a", "default", 8000, 1);
        cluster.arrival(100, 22, "c", "flex", 1000, 1);
        cluster.run();
        Reject priority = assertInstanceOf(Reject.class, cluster.verdict(20));
        assertEquals(Cause.TTFT, priority.cause());
        // Tenant b is new, so what was sent already is before it, and its own prompt takes 450 ms.
        assertTrue(priority.predictedTtftNanos() > 500e6 && priority.predictedTtftNanos() < 1.5e9);
        assertEquals(priority.predictedTtftNanos() - 500e6, (double) priority.retryAfterNanos(), 1);
        Reject large = assertInstanceOf(Reject.class, cluster.verdict(21));
        assertTrue(large.retryAfterNanos() > 0);
        assertInstanceOf(Dispatch.class, cluster.verdict(22));
    }

    @Test
    void shouldRefuseWhenTokensWouldComeTooSlowly() {
        VirtualCluster cluster = new VirtualCluster(Classes.settings("dispatch-ahead = 10s"), 1);
        for (int i = 0; i < 30; i++) {
            cluster.arrival(i, i, "a", "flex", 1, 1000);
        }
        cluster.arrival(Classes.SECOND, 100, "b", "priority", 1, 1);
        cluster.arrival(Classes.SECOND, 101, "b", "default", 1, 1);
        cluster.run();
        assertEquals(
                Cause.ITL, assertInstanceOf(Reject.class, cluster.verdict(100)).cause());
        assertInstanceOf(Dispatch.class, cluster.verdict(101));
    }

    @Test
    void shouldJudgeARequestOfOneTokenByItsFirstTokenAlone() {
        VirtualCluster cluster = new VirtualCluster(Classes.settings("dispatch-ahead = 10s"), 1);
        for (int i = 0; i < 30; i++) {
            cluster.arrival(i, i, "a", "flex", 1, 1000);
        }
        cluster.arrival(Classes.SECOND, 100, "b", "priority", 1, 1, 2);
        cluster.arrival(Classes.SECOND, 101, "b", "priority", 1, 1, 1);
        cluster.arrival(2 * Classes.SECOND, 102, "b", "priority", 5_001, 1, 1);
        cluster.run();
        assertEquals(
                Cause.ITL, assertInstanceOf(Reject.class, cluster.verdict(100)).cause());
        assertEquals(
                0, assertInstanceOf(Dispatch.class, cluster.verdict(101)).queuedNanos(), "no ITL, none that is missed");
        assertEquals(
                Cause.TTFT, assertInstanceOf(Reject.class, cluster.verdict(102)).cause());
    }

    /** Flex requests would wait for the priority one's ITL, if it had any. */
    @Test
    void shouldNotTakeARequestOfOneTokenForADecodeThatOthersHarm() {
        for (int maxNewTokens : new int[] {1, 2}) {
            VirtualCluster cluster = new VirtualCluster(Classes.settings("dispatch-ahead = 10s"), 1);
            for (int i = 0; i < 14; i++) {
                cluster.arrival(i, i, "a", "flex", 1, 1000);
            }
            cluster.arrival(100, 50, "b", "priority", 1, 500, maxNewTokens);
            cluster.arrival(Classes.SECOND, 100, "c", "flex", 1, 1);
            cluster.run();
            long queued = assertInstanceOf(Dispatch.class, cluster.verdict(100)).queuedNanos();
            assertEquals(maxNewTokens > 1, queued > 0, "waited " + queued + " ns");
        }
    }

    /** Two GPUs; the decodes of the first, which priority requests cannot stand, move to the second. */
    @Test
    void shouldSeeDecodesWhereTheyRunNow() {
        AdmissionSettings settings = Classes.settings("dispatch-ahead = 10s");
        int flex = 10;
        Forecaster first = new Forecaster() {
            @Override
            public Forecast forecast(Applicant applicant, long nowNanos) {
                double itl = applicant.id() < flex ? 20e6 : 30e6;
                return new Forecast(2, true, false, "g1", 0, 1e6, 1e6, 10, itl, 0);
            }

            @Override
            public double itlNanos(Applicant applicant, Forecast forecast, int fewerDecodes, double fewerContext) {
                return forecast.itlNanos() - fewerDecodes * 1e6;
            }

            @Override
            public void book(Applicant applicant, Forecast forecast, long nowNanos) {}
        };
        AdmissionPolicy policy = new AdmissionPolicy(settings, first);
        List<Verdict> out = new ArrayList<>();
        for (int i = 0; i < flex; i++) {
            policy.arrive(Classes.applicant(settings, i, "a", "flex", 1, 3, 0), 0, out);
        }
        assertEquals(flex, out.size());
        out.clear();
        policy.arrive(Classes.applicant(settings, 100, "b", "priority", 1, 0), 0, out);
        assertEquals(List.of(), out, "their ends are near, and make room");
        policy.cancel(100);
        for (int i = 0; i < flex; i++) {
            policy.moved(i, "g2");
        }
        policy.arrive(Classes.applicant(settings, 101, "b", "priority", 1, 0), 0, out);
        assertEquals(Cause.ITL, assertInstanceOf(Reject.class, out.getFirst()).cause(), "nothing of ours ends there");
        out.clear();
        policy.moved(3, "g1");
        policy.moved(77, "g1");
        for (int i = 0; i < flex; i++) {
            policy.moved(i, "g1");
            policy.moved(i, "g1");
        }
        policy.arrive(Classes.applicant(settings, 102, "b", "priority", 1, 0), 0, out);
        assertEquals(List.of(), out);
        for (int i = 0; i < flex; i++) {
            policy.ended(i, 3, true);
        }
        policy.moved(1, "g1");
        policy.pump(1, out);
        assertInstanceOf(Reject.class, out.getFirst(), "what is over is nowhere");
    }

    @Test
    void shouldNotBreakTheTargetOfATighterClassBesideItWhileThereIsTime() {
        VirtualCluster cluster = new VirtualCluster(Classes.settings("dispatch-ahead = 10s"), 1);
        for (int i = 0; i < 15; i++) {
            cluster.arrival(i, i, "a", "priority", 1, 200);
        }
        for (int i = 100; i < 120; i++) {
            cluster.arrival(Classes.SECOND, i, "b", "flex", 1, 200);
        }
        cluster.run();
        for (long id = 0; id < 15; id++) {
            assertTrue(cluster.itlNanos.get(id) <= 25e6);
        }
        assertTrue(((Dispatch) cluster.verdict(119)).queuedNanos() > Classes.SECOND, "it waited for the tighter ones");
        assertEquals(35, cluster.good());
    }

    @Test
    void shouldServeWhatIsAlwaysTooLateOnlyOnAnIdleGpu() {
        VirtualCluster strict = new VirtualCluster(Classes.settings(), 1);
        strict.arrival(0, 1, "a", "priority", 10_000, 1);
        strict.run();
        assertInstanceOf(Reject.class, strict.verdict(1));
        VirtualCluster lenient = new VirtualCluster(Classes.settings("serve-when-idle = on"), 1);
        lenient.arrival(0, 1, "a", "priority", 10_000, 1);
        lenient.arrival(1, 2, "a", "priority", 10_000, 1);
        lenient.run();
        assertInstanceOf(Dispatch.class, lenient.verdict(1));
        assertInstanceOf(Reject.class, lenient.verdict(2));
    }

    @Test
    void shouldAdmitUnderABoundWhileNothingIsKnown() {
        AdmissionSettings settings = Classes.settings("cold-requests-per-worker = 3");
        List<Long> booked = new ArrayList<>();
        AdmissionPolicy policy = new AdmissionPolicy(settings, new Forecaster() {
            @Override
            public Forecast forecast(Applicant applicant, long nowNanos) {
                return Forecast.cold(2);
            }

            @Override
            public double itlNanos(Applicant applicant, Forecast forecast, int fewerDecodes, double fewerContext) {
                return 0;
            }

            @Override
            public void book(Applicant applicant, Forecast forecast, long nowNanos) {
                booked.add(applicant.id());
            }
        });
        List<Verdict> out = new ArrayList<>();
        for (int i = 0; i < 10; i++) {
            policy.arrive(Classes.applicant(settings, i, "a", "default", 1, i), i, out);
        }
        assertEquals(List.of(0L, 1L, 2L, 3L, 4L, 5L), booked);
        assertEquals(4, policy.queued());
        policy.ended(3, 5, true);
        policy.ended(3, 5, true);
        policy.pump(20, out);
        assertEquals(6, policy.running());
        assertEquals(3, policy.queued());
        out.clear();
        policy.pump(3 * Classes.SECOND, out);
        assertEquals(3, out.size(), "what is due leaves");
        assertTrue(out.stream().allMatch(v -> v instanceof Reject));
    }

    @Test
    void shouldPassARequestThroughThatNobodyServesSoThatItFails() {
        VirtualCluster cluster = new VirtualCluster(Classes.settings(), 1);
        cluster.workers = 0;
        cluster.arrival(0, 1, "a", "default", 1_000_000, 1);
        cluster.run();
        assertInstanceOf(Dispatch.class, cluster.verdict(1));
    }

    @Test
    void shouldBoundTheQueueInAllAndByClassAndShedTheCheapestFirst() {
        VirtualCluster cluster = new VirtualCluster(
                Classes.settings("queue-max-requests = 8", "classes.flex.queue-max-requests = 6"), 1);
        for (int i = 0; i < 20; i++) {
            cluster.arrival(i, i, "a", "flex", 2000, 1);
        }
        for (int i = 100; i < 106; i++) {
            cluster.arrival(50, i, "b", "default", 2000, 1);
        }
        cluster.run();
        List<Reject> rejects = cluster.verdicts.stream()
                .filter(Reject.class::isInstance)
                .map(Reject.class::cast)
                .toList();
        assertEquals(
                13,
                rejects.stream()
                        .filter(r -> r.cause() == Cause.FULL && r.applicant().id() < 100)
                        .count());
        assertTrue(rejects.stream().anyMatch(r -> r.cause() == Cause.DISPLACED));
        assertTrue(rejects.stream()
                .filter(r -> r.cause() == Cause.DISPLACED)
                .allMatch(r -> r.applicant().serviceClass().name().equals("flex")));
        assertTrue(rejects.stream().allMatch(r -> r.retryAfterNanos() > 0));
    }

    @Test
    void shouldExpireByTheRequestsOwnTimeLimitWithAVerdictOfItsOwn() {
        AdmissionSettings settings = Classes.settings("cold-requests-per-worker = 1");
        AdmissionPolicy policy = new AdmissionPolicy(settings, new Forecaster() {
            @Override
            public Forecast forecast(Applicant applicant, long nowNanos) {
                return Forecast.cold(1);
            }

            @Override
            public double itlNanos(Applicant applicant, Forecast forecast, int fewerDecodes, double fewerContext) {
                return 0;
            }

            @Override
            public void book(Applicant applicant, Forecast forecast, long nowNanos) {}
        });
        List<Verdict> out = new ArrayList<>();
        ServiceClass flex = settings.serviceClass("flex").orElseThrow();
        policy.arrive(new Applicant(1, "a", flex, 1, 1, 0, Classes.SECOND), 0, out);
        policy.arrive(new Applicant(2, "a", flex, 1, 1, 0, Classes.SECOND), 0, out);
        out.clear();
        policy.pump(Classes.SECOND - 1, out);
        assertTrue(out.isEmpty());
        policy.pump(Classes.SECOND, out);
        assertEquals(
                List.of(new Verdict.Expire(new Applicant(2, "a", flex, 1, 1, 0, Classes.SECOND), Classes.SECOND)), out);
        assertEquals(0, policy.queued());
    }

    /** Random load: one verdict each, no GPU idle while its next request waits, shares by weight, everything ends. */
    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12})
    void shouldGiveEveryRequestExactlyOneVerdict(long seed) {
        Random random = new Random(seed);
        VirtualCluster cluster = new VirtualCluster(
                Classes.settings("queue-max-requests = 40", "serve-when-idle = " + (seed % 2 == 0 ? "on" : "off")),
                1 + random.nextInt(4));
        int requests = 2000;
        long at = 0;
        for (long id = 0; id < requests; id++) {
            at += (long) (-Math.log(1 - random.nextDouble()) * 40 * Classes.MILLI);
            cluster.arrival(
                    at,
                    id,
                    "t" + random.nextInt(5),
                    TIERS[random.nextInt(3)],
                    1 + random.nextInt(4000),
                    1 + random.nextInt(60));
            if (random.nextInt(5) == 0) {
                cluster.cancellation(at + random.nextInt(1000) * Classes.MILLI, id);
            }
        }
        cluster.run();
        assertEquals(requests, cluster.verdictsById.size(), "seed " + seed);
        assertTrue(cluster.verdictsById.values().stream().allMatch(n -> n == 1), "seed " + seed);
        assertEquals(0, cluster.policy.queued());
        assertEquals(0, cluster.policy.running());
        for (int c = 0; c < TIERS.length; c++) {
            assertEquals(0, cluster.policy.running(c));
            assertEquals(0, cluster.policy.queued(c));
        }
    }

    /** Three times what one GPU can do: with admission most of what it does is in time, without nearly nothing. */
    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4, 5})
    void shouldKeepGoodputUnderOverload(long seed) {
        Map<String, Integer> good = new HashMap<>();
        Map<String, Long> served = new HashMap<>();
        for (String enabled : new String[] {"on", "off"}) {
            Random random = new Random(seed);
            VirtualCluster cluster = new VirtualCluster(Classes.settings("enabled = " + enabled), 1);
            long at = 0;
            for (long id = 0; id < 3000; id++) {
                at += (long) (-Math.log(1 - random.nextDouble()) * 33 * Classes.MILLI);
                cluster.arrival(at, id, "t" + random.nextInt(3), "default", 500 + random.nextInt(1000), 20);
            }
            cluster.run();
            good.put(enabled, cluster.good());
            served.put(enabled, cluster.count(Dispatch.class));
        }
        // 100 s of arrivals at 10 requests of 100 ms a second: about 1000 can be served.
        assertTrue(good.get("on") > 900, "seed " + seed + ": " + good + " of " + served);
        assertTrue(good.get("on") >= 0.98 * served.get("on"), "what was let in was in time: " + good + " of " + served);
        assertTrue(good.get("off") < 100, "seed " + seed + ": " + good);
    }

    /** Two tenants ask for more than there is, one of weight 3; what they get is 3 to 1 in tokens. */
    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3})
    void shouldConvergeToTheTenantsSharesUnderOverload(long seed) {
        Random random = new Random(seed);
        VirtualCluster cluster = new VirtualCluster(
                Classes.settings(
                        "tenants.big.weight = 3", "output-token-weight = 0", "classes.default.ttft-target = 20s"),
                2);
        long at = 0;
        for (long id = 0; id < 6000; id++) {
            at += 15 * Classes.MILLI;
            cluster.arrival(at, id, id % 2 == 0 ? "big" : "small", "default", 500 + random.nextInt(1000), 1);
        }
        cluster.run();
        Map<String, Integer> tokens = new HashMap<>();
        for (Verdict v : cluster.verdicts) {
            if (v instanceof Dispatch d) {
                tokens.merge(d.applicant().tenant(), d.applicant().promptTokens(), Integer::sum);
            }
        }
        double ratio = (double) tokens.get("big") / tokens.get("small");
        assertTrue(ratio > 2.6 && ratio < 3.4, "seed " + seed + ": " + ratio);
    }

    @Test
    void shouldRefuseTheLargestFirstUnderOverloadAndServeMoreOfTheRest() {
        int[] good = new int[2];
        for (int limited = 0; limited < 2; limited++) {
            VirtualCluster cluster =
                    new VirtualCluster(Classes.settings("size-limit.fall = " + (limited == 0 ? 1 : 0.9)), 1);
            // One prompt in ten takes 1.2 s, the others 50 ms: almost three times as much as can be served, or 3/4
            // without the large.
            for (int i = 0; i < 400; i++) {
                cluster.arrival(i * 60 * Classes.MILLI, i, "a", "default", i % 10 == 0 ? 12_000 : 500, 1);
            }
            cluster.run();
            good[limited] = cluster.good();
            long bySize = cluster.verdicts.stream()
                    .filter(v -> v instanceof Reject r && r.cause() == Cause.SIZE)
                    .filter(v -> v.applicant().promptTokens() == 12_000)
                    .count();
            assertTrue(limited == 0 ? bySize == 0 : bySize > 10, bySize + " large ones refused for their size");
        }
        assertTrue(good[1] > good[0], good[1] + " against " + good[0]);
    }
}
