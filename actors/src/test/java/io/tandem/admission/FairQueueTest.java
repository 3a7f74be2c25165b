package io.tandem.admission;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.tandem.admission.FairQueue.Entry;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class FairQueueTest {
    private static final AdmissionSettings SETTINGS = Classes.settings("classes.priority.weight = 1");
    private static final int CLASSES = SETTINGS.classes().size();
    private static final boolean[] ALL_OPEN = new boolean[CLASSES];

    private long ids;

    private Entry add(FairQueue queue, String tenant, String tier, double tokens, long now) {
        Applicant applicant = Classes.applicant(SETTINGS, ++ids, tenant, tier, 100, now);
        return queue.add(applicant, SETTINGS.classes().indexOf(applicant.serviceClass()), tokens, tokens * 1000);
    }

    private static Entry dispatch(FairQueue queue) {
        queue.newRound();
        Entry entry = queue.next(ALL_OPEN);
        queue.dispatch(entry);
        return entry;
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4, 5, 6, 7, 8})
    void shouldShareByWeightAmongTenantsThatAlwaysWait(long seed) {
        Random random = new Random(seed);
        int tenants = 2 + random.nextInt(6);
        Map<String, Double> weights = new HashMap<>();
        for (int t = 0; t < tenants; t++) {
            weights.put("t" + t, 0.5 + random.nextInt(8));
        }
        FairQueue queue = new FairQueue(CLASSES, weights::get, 16);
        double largest = 1000;
        Map<String, Double> served = new HashMap<>();
        for (int i = 0; i < 4000; i++) {
            for (String tenant : weights.keySet()) {
                // Some tenants ask often and little, some seldom and much; all have something waiting.
                while (queued(queue, tenant) < 3) {
                    add(queue, tenant, "default", 1 + random.nextInt((int) largest), i);
                }
            }
            Entry entry = dispatch(queue);
            served.merge(entry.applicant.tenant(), entry.cost * weights.get(entry.applicant.tenant()), Double::sum);
            for (String a : weights.keySet()) {
                for (String b : weights.keySet()) {
                    double difference =
                            served.getOrDefault(a, 0.0) / weights.get(a) - served.getOrDefault(b, 0.0) / weights.get(b);
                    double bound = largest / weights.get(a) + largest / weights.get(b);
                    assertTrue(
                            difference <= bound,
                            () -> "seed " + seed + ": " + a + " is " + difference + " ahead of " + b);
                }
            }
        }
    }

    private static int queued(FairQueue queue, String tenant) {
        return queue.tenants(100).stream()
                .filter(t -> t.name().equals(tenant))
                .mapToInt(FairQueue.TenantView::queued)
                .sum();
    }

    @ParameterizedTest
    @ValueSource(longs = {11, 12, 13, 14, 15, 16})
    void shouldServeATenantsRequestsByTheTimeTheirFirstTokenIsDue(long seed) {
        Random random = new Random(seed);
        FairQueue queue = new FairQueue(CLASSES, t -> 1, 16);
        String[] tiers = {"default", "priority", "flex"};
        Map<String, List<Entry>> waiting = new HashMap<>();
        for (int i = 0; i < 2000; i++) {
            String tenant = "t" + random.nextInt(4);
            if (random.nextInt(3) > 0) {
                Entry entry = add(queue, tenant, tiers[random.nextInt(3)], 1 + random.nextInt(500), i * Classes.MILLI);
                waiting.computeIfAbsent(tenant, t -> new ArrayList<>()).add(entry);
            } else if (queue.size() > 0) {
                Entry entry = dispatch(queue);
                List<Entry> own = waiting.get(entry.applicant.tenant());
                for (Entry other : own) {
                    assertTrue(entry.dueNanos <= other.dueNanos, "seed " + seed);
                }
                own.remove(entry);
            }
        }
        assertEquals(waiting.values().stream().mapToInt(List::size).sum(), queue.size());
    }

    /** Whatever others do, they get no more than one request and their proportional part before a waiting tenant's turn. */
    @ParameterizedTest
    @ValueSource(longs = {21, 22, 23, 24, 25, 26})
    void shouldLetNobodyStarve(long seed) {
        Random random = new Random(seed);
        FairQueue queue = new FairQueue(CLASSES, t -> t.startsWith("greedy") ? 10 : 1, 16);
        int largest = 1000;
        for (int i = 0; i < 300; i++) {
            add(queue, "greedy" + random.nextInt(5), "priority", 1 + random.nextInt(largest), 0);
        }
        for (int i = 0; i < 50; i++) {
            dispatch(queue);
        }
        Entry meek = add(queue, "meek", "flex", largest, 0);
        Map<String, Double> overtook = new HashMap<>();
        for (int i = 0; i < 1000; i++) {
            add(queue, "greedy" + random.nextInt(5), "priority", 1 + random.nextInt(largest), i);
            Entry entry = dispatch(queue);
            if (entry == meek) {
                return;
            }
            overtook.merge(entry.applicant.tenant(), entry.cost * 10, Double::sum);
            assertTrue(overtook.get(entry.applicant.tenant()) <= largest, "seed " + seed + ": " + overtook);
        }
        throw new AssertionError("seed " + seed + ": never served");
    }

    @Test
    void shouldStartATenantThatComesBackLevelWithThoseWhoWaited() {
        FairQueue queue = new FairQueue(CLASSES, t -> 1, 16);
        for (int i = 0; i < 10; i++) {
            add(queue, "steady", "default", 100, i);
        }
        for (int i = 0; i < 8; i++) {
            dispatch(queue);
        }
        for (int i = 0; i < 10; i++) {
            add(queue, "late", "default", 100, i);
        }
        int late = 0;
        for (int i = 0; i < 4; i++) {
            late += dispatch(queue).applicant.tenant().equals("late") ? 1 : 0;
        }
        assertEquals(2, late, "its idle time is no credit");
    }

    @Test
    void shouldSettleWhatARequestTookBeyondItsCharge() {
        FairQueue queue = new FairQueue(CLASSES, t -> 1, 16);
        for (int i = 0; i < 4; i++) {
            add(queue, "long", "default", 100, i);
            add(queue, "short", "default", 100, i);
        }
        Entry first = dispatch(queue);
        Entry second = dispatch(queue);
        Entry ofLong = first.applicant.tenant().equals("long") ? first : second;
        queue.settle(ofLong, 350);
        assertEquals("short", dispatch(queue).applicant.tenant());
        assertEquals("short", dispatch(queue).applicant.tenant());
        assertEquals("short", dispatch(queue).applicant.tenant());
        assertEquals("long", dispatch(queue).applicant.tenant());
    }

    @Test
    void shouldPassOverARequestForTheRoundOnly() {
        FairQueue queue = new FairQueue(CLASSES, t -> 1, 16);
        Entry a = add(queue, "a", "default", 1, 0);
        Entry b = add(queue, "b", "default", 1, 0);
        queue.newRound();
        assertSame(a, queue.next(ALL_OPEN));
        queue.passOver(a);
        assertSame(b, queue.next(ALL_OPEN));
        queue.passOver(b);
        Entry later = add(queue, "a", "default", 1, 1);
        assertSame(later, queue.next(ALL_OPEN), "the tenant's next one may go");
        queue.passOver(later);
        assertNull(queue.next(ALL_OPEN));
        queue.newRound();
        assertSame(a, queue.next(ALL_OPEN));
        boolean[] closed = new boolean[CLASSES];
        closed[a.classIndex] = true;
        assertNull(queue.next(closed));
    }

    @Test
    void shouldTellTheWorkBeforeARequest() {
        FairQueue queue = new FairQueue(CLASSES, t -> t.equals("heavy") ? 3 : 1, 16);
        for (int i = 0; i < 10; i++) {
            add(queue, "heavy", "default", 300, i);
            add(queue, "light", "default", 100, i);
        }
        Entry last = add(queue, "light", "default", 100, 100);
        // Ten of its own before it, and of the heavy tenant what it may use in the same time: all ten.
        assertEquals(10 * 100_000.0 + 10 * 300_000.0, queue.workAheadNanos(last), 1);
        Entry urgent = add(queue, "light", "priority", 100, 100);
        assertEquals(0, queue.workAheadNanos(urgent), 1, "due before all others of its tenant");
        assertEquals(12 * 100_000.0 + 10 * 300_000.0, queue.workNanos(), 1);
    }

    @Test
    void shouldGiveTheCheapestSheddableRequestThatIsDueLast() {
        FairQueue queue = new FairQueue(CLASSES, t -> 1, 16);
        add(queue, "a", "default", 1, 0);
        add(queue, "a", "flex", 1, 0);
        Entry newest = add(queue, "b", "flex", 1, 5);
        assertSame(newest, queue.displaceable(1));
        assertNull(queue.displaceable(0.5), "not for one of the same price");
    }

    @Test
    void shouldForgetIdleTenantsAndKeepCountsWhole() {
        FairQueue queue = new FairQueue(CLASSES, t -> 1, 8);
        for (int i = 0; i < 1000; i++) {
            Entry entry = add(queue, "tenant-" + i, "default", 10, i);
            queue.dispatch(entry);
            queue.settle(entry, 10);
        }
        assertEquals(0, queue.size());
        assertTrue(queue.rememberedTenants() <= 3 * 8, queue.rememberedTenants() + " tenants");
        Entry entry = add(queue, "x", "default", 10, 0);
        queue.remove(entry);
        assertThrows(IllegalStateException.class, () -> queue.remove(entry));
        assertEquals(0, queue.size());
        assertFalse(queue.tenants(10).stream().anyMatch(t -> t.name().equals("x")));
    }
}
