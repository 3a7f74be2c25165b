package io.tandem.admission;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.LongAdder;

/**
 * What became of requests, by class and tenant, and how long they waited, by class. The first tenants have a label of their own,
 * as have those named in the settings; the others share one. Counted by one thread, read by any.
 */
public final class AdmissionLedger {
    /** Label of the tenants without one. */
    public static final String OTHERS = "other";

    /** Upper bounds of the queue time's histogram, seconds; a last bucket takes the rest. */
    public static final List<Double> QUEUE_SECONDS =
            List.of(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0);

    /** What became of a request at the door. */
    public enum Outcome {
        /** Sent to its GPUs, at once or after a wait. */
        ADMITTED,
        /** Had to wait; counted besides what became of it. */
        QUEUED,
        REJECTED_TTFT,
        REJECTED_ITL,
        REJECTED_SIZE,
        REJECTED_FULL,
        DISPLACED,
        EXPIRED,
        CANCELLED
    }

    /** One counter. */
    public record Count(String serviceClass, String tenant, Outcome outcome, long count) {}

    /** Time in the queue of one class's admitted requests: counts by bucket of {@link #QUEUE_SECONDS}, and their sum. */
    public record QueueTimes(long[] buckets, double sumSeconds) {}

    private record Key(String serviceClass, String tenant, Outcome outcome) {}

    private final AdmissionSettings settings;
    private final ConcurrentHashMap<Key, LongAdder> counts = new ConcurrentHashMap<>();
    private final Set<String> labels = ConcurrentHashMap.newKeySet();
    private final LongAdder[][] buckets;
    private final LongAdder[] sumNanos;

    public AdmissionLedger(AdmissionSettings settings) {
        this.settings = settings;
        int classes = settings.classes().size();
        buckets = new LongAdder[classes][QUEUE_SECONDS.size() + 1];
        sumNanos = new LongAdder[classes];
        for (int c = 0; c < classes; c++) {
            sumNanos[c] = new LongAdder();
            for (int b = 0; b < buckets[c].length; b++) {
                buckets[c][b] = new LongAdder();
            }
        }
    }

    public void count(Applicant applicant, Outcome outcome) {
        Key key = new Key(applicant.serviceClass().name(), label(applicant.tenant()), outcome);
        counts.computeIfAbsent(key, k -> new LongAdder()).increment();
    }

    public void admitted(Applicant applicant, long queuedNanos) {
        count(applicant, Outcome.ADMITTED);
        int classIndex = settings.classes().indexOf(applicant.serviceClass());
        double seconds = queuedNanos / 1e9;
        int bucket = 0;
        while (bucket < QUEUE_SECONDS.size() && seconds > QUEUE_SECONDS.get(bucket)) {
            bucket++;
        }
        buckets[classIndex][bucket].increment();
        sumNanos[classIndex].add(queuedNanos);
    }

    private String label(String tenant) {
        if (settings.tenantWeights().containsKey(tenant) || labels.contains(tenant)) {
            return tenant;
        }
        if (labels.size() < settings.tenantLabelsMax()) {
            labels.add(tenant);
            return tenant;
        }
        return OTHERS;
    }

    public List<Count> counts() {
        List<Count> all = new ArrayList<>();
        counts.forEach((k, n) -> all.add(new Count(k.serviceClass, k.tenant, k.outcome, n.sum())));
        all.sort(Comparator.comparing(Count::serviceClass)
                .thenComparing(Count::tenant)
                .thenComparing(Count::outcome));
        return all;
    }

    /** The sum of an outcome over all classes and tenants. */
    public long total(Outcome outcome) {
        return counts().stream()
                .filter(c -> c.outcome() == outcome)
                .mapToLong(Count::count)
                .sum();
    }

    public QueueTimes queueTimes(int classIndex) {
        long[] values = new long[buckets[classIndex].length];
        for (int b = 0; b < values.length; b++) {
            values[b] = buckets[classIndex][b].sum();
        }
        return new QueueTimes(values, sumNanos[classIndex].sum() / 1e9);
    }
}
