package io.tandem.admission;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.ToDoubleFunction;

/**
 * Waiting requests: the tenant with the least virtual time is next, and of its requests the one whose first token is due
 * first. A dispatched request moves its tenant's virtual time by its tokens over (tenant's weight x class's weight), so tenants
 * that always wait get tokens in proportion to their weights, and a tenant that comes back after a pause starts level with
 * those who waited (start-time fair queueing). A tenant keeps what it owes while idle; what it did not use is gone.
 *
 * <p>Plain state, no clock. Not thread-safe.
 */
public final class FairQueue {

    /** A waiting request. */
    static final class Entry {
        final Applicant applicant;
        final int classIndex;
        final long sequence;
        final long dueNanos;
        /** Virtual time it will cost its tenant. */
        final double cost;
        /** GPU time of its prompt. */
        final double workNanos;

        private final Tenant tenant;
        private long passedOverIn;

        private Entry(
                Applicant applicant, int classIndex, long sequence, Tenant tenant, double cost, double workNanos) {
            this.applicant = applicant;
            this.classIndex = classIndex;
            this.sequence = sequence;
            this.tenant = tenant;
            this.dueNanos = applicant.dueNanos();
            this.cost = cost;
            this.workNanos = workNanos;
        }
    }

    private static final Comparator<Entry> BY_DUE =
            Comparator.<Entry>comparingLong(e -> e.dueNanos).thenComparingLong(e -> e.sequence);

    private static final class Tenant {
        final String name;
        final double weight;
        final List<TreeSet<Entry>> byClass;
        double virtualTime;
        double queuedCost;
        double queuedWorkNanos;
        int queued;
        int running;

        Tenant(String name, double weight, int classes) {
            this.name = name;
            this.weight = weight;
            byClass = new ArrayList<>(classes);
            for (int i = 0; i < classes; i++) {
                byClass.add(new TreeSet<>(BY_DUE));
            }
        }
    }

    /** One tenant for those who look from outside. */
    public record TenantView(String name, double weight, int queued, int running) {}

    private final int classes;
    private final ToDoubleFunction<String> weights;
    private final int idleTenantsMax;
    private final Map<String, Tenant> tenants = new HashMap<>();
    private final List<Tenant> waiting = new ArrayList<>();
    private final int[] queuedByClass;
    private double virtualTime;
    private long sequence;
    private long round;
    private int queued;
    private int forgetAbove;

    /**
     * @param classes number of service classes
     * @param weights of a tenant
     * @param idleTenantsMax tenants without requests that are remembered for what they owe
     */
    FairQueue(int classes, ToDoubleFunction<String> weights, int idleTenantsMax) {
        this.classes = classes;
        this.weights = weights;
        this.idleTenantsMax = idleTenantsMax;
        queuedByClass = new int[classes];
        forgetAbove = 2 * idleTenantsMax;
    }

    int size() {
        return queued;
    }

    int size(int classIndex) {
        return queuedByClass[classIndex];
    }

    /**
     * Adds a request.
     *
     * @param tokens predicted work: prompt tokens to compute and weighted output
     */
    Entry add(Applicant applicant, int classIndex, double tokens, double workNanos) {
        Tenant tenant = tenant(applicant.tenant());
        double cost = tokens / (tenant.weight * applicant.serviceClass().weight());
        Entry entry = new Entry(applicant, classIndex, sequence++, tenant, cost, workNanos);
        if (tenant.queued == 0) {
            tenant.virtualTime = Math.max(tenant.virtualTime, virtualTime);
            waiting.add(tenant);
        }
        tenant.byClass.get(classIndex).add(entry);
        tenant.queued++;
        tenant.queuedCost += cost;
        tenant.queuedWorkNanos += workNanos;
        queuedByClass[classIndex]++;
        queued++;
        return entry;
    }

    /** Takes a request out without charging anybody. */
    void remove(Entry entry) {
        Tenant tenant = entry.tenant;
        if (!tenant.byClass.get(entry.classIndex).remove(entry)) {
            throw new IllegalStateException("request " + entry.applicant.id() + " does not wait");
        }
        tenant.queued--;
        tenant.queuedCost -= entry.cost;
        tenant.queuedWorkNanos -= entry.workNanos;
        queuedByClass[entry.classIndex]--;
        queued--;
        if (tenant.queued == 0) {
            tenant.queuedCost = 0;
            tenant.queuedWorkNanos = 0;
            waiting.remove(tenant);
        }
    }

    /** Takes a request out and charges its tenant. */
    void dispatch(Entry entry) {
        remove(entry);
        virtualTime = Math.max(virtualTime, entry.tenant.virtualTime);
        entry.tenant.virtualTime += entry.cost;
        entry.tenant.running++;
    }

    /**
     * A dispatched request is over; the difference between what it was charged and what it took is settled.
     *
     * @param tokens what it took
     */
    void settle(Entry entry, double tokens) {
        Tenant tenant = entry.tenant;
        double cost = tokens / (tenant.weight * entry.applicant.serviceClass().weight());
        tenant.virtualTime += cost - entry.cost;
        tenant.running--;
    }

    /** Starts a round in which nobody was passed over. */
    void newRound() {
        round++;
    }

    /** This request cannot be served in this round. */
    void passOver(Entry entry) {
        entry.passedOverIn = round;
    }

    /** The next request in this round among the classes that are open, or null. */
    Entry next(boolean[] classClosed) {
        Tenant best = null;
        Entry bestHead = null;
        for (int i = 0; i < waiting.size(); i++) {
            Tenant tenant = waiting.get(i);
            if (best != null && tenant.virtualTime >= best.virtualTime) {
                continue;
            }
            Entry head = head(tenant, classClosed);
            if (head != null) {
                best = tenant;
                bestHead = head;
            }
        }
        return bestHead;
    }

    private Entry head(Tenant tenant, boolean[] classClosed) {
        Entry head = null;
        for (int c = 0; c < classes; c++) {
            Entry first = classClosed[c] ? null : head(tenant.byClass.get(c));
            if (first != null && (head == null || BY_DUE.compare(first, head) < 0)) {
                head = first;
            }
        }
        return head;
    }

    private Entry head(Set<Entry> inOrder) {
        for (Entry entry : inOrder) {
            if (entry.passedOverIn != round) {
                return entry;
            }
        }
        return null;
    }

    /** The waiting request whose first token is due first, of all; null when none waits. */
    Entry earliestDue() {
        Entry earliest = null;
        for (Tenant tenant : waiting) {
            for (TreeSet<Entry> entries : tenant.byClass) {
                if (!entries.isEmpty() && (earliest == null || BY_DUE.compare(entries.first(), earliest) < 0)) {
                    earliest = entries.first();
                }
            }
        }
        return earliest;
    }

    /** GPU time of all that waits. */
    double workNanos() {
        double work = 0;
        for (Tenant tenant : waiting) {
            work += tenant.queuedWorkNanos;
        }
        return work;
    }

    /**
     * GPU time of what is dispatched before {@code entry}, if nobody else comes: of its own tenant what is due earlier, of each
     * other tenant what it may use until then.
     */
    double workAheadNanos(Entry entry) {
        Tenant own = entry.tenant;
        double ownCost = 0;
        double work = 0;
        for (TreeSet<Entry> entries : own.byClass) {
            for (Entry e : entries.headSet(entry)) {
                ownCost += e.cost;
                work += e.workNanos;
            }
        }
        double until = own.virtualTime + ownCost;
        for (Tenant tenant : waiting) {
            if (tenant != own && tenant.queuedCost > 0) {
                double share = (until - tenant.virtualTime) / tenant.queuedCost;
                work += tenant.queuedWorkNanos * Math.clamp(share, 0, 1);
            }
        }
        return work;
    }

    /** The one that leaves a full queue for a request at this price: the cheapest sheddable, of these the last due; or null. */
    Entry displaceable(double price) {
        Entry victim = null;
        for (Tenant tenant : waiting) {
            for (TreeSet<Entry> entries : tenant.byClass) {
                if (!entries.isEmpty() && displaceable(entries.last(), price)) {
                    victim = victim == null || cheaper(entries.last(), victim) ? entries.last() : victim;
                }
            }
        }
        return victim;
    }

    private static boolean displaceable(Entry e, double price) {
        ServiceClass c = e.applicant.serviceClass();
        return c.sheddable() && c.price() < price;
    }

    private static boolean cheaper(Entry a, Entry b) {
        double left = a.applicant.serviceClass().price();
        double right = b.applicant.serviceClass().price();
        return left < right || left == right && BY_DUE.compare(a, b) > 0;
    }

    /** The tenants that wait or run, those with most requests first, at most {@code max}. */
    List<TenantView> tenants(int max) {
        return tenants.values().stream()
                .filter(t -> t.queued + t.running > 0)
                .sorted(Comparator.<Tenant>comparingInt(t -> -t.queued - t.running)
                        .thenComparing(t -> t.name))
                .limit(max)
                .map(t -> new TenantView(t.name, t.weight, t.queued, t.running))
                .toList();
    }

    int rememberedTenants() {
        return tenants.size();
    }

    private Tenant tenant(String name) {
        Tenant tenant = tenants.get(name);
        if (tenant == null) {
            if (tenants.size() >= forgetAbove) {
                forgetIdle();
            }
            tenant = new Tenant(name, weights.applyAsDouble(name), classes);
            tenants.put(name, tenant);
        }
        return tenant;
    }

    /** Those who owe nothing go; if too many are left, those who owe least. */
    private void forgetIdle() {
        tenants.values().removeIf(t -> t.queued + t.running == 0 && t.virtualTime <= virtualTime);
        List<Tenant> idle = tenants.values().stream()
                .filter(t -> t.queued + t.running == 0)
                .sorted(Comparator.comparingDouble(t -> t.virtualTime))
                .toList();
        for (int i = 0; i < idle.size() - idleTenantsMax; i++) {
            tenants.remove(idle.get(i).name);
        }
        forgetAbove = tenants.size() + idleTenantsMax;
    }
}
