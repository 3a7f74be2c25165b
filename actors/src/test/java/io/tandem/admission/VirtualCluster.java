package io.tandem.admission;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.PriorityQueue;
import java.util.TreeMap;

/**
 * GPUs under virtual time: each computes prompts one after the other at a fixed speed, and decodes beside them at a time between
 * tokens that grows with the number of decodes. Forecasts are exact for the prompts; drives a policy and keeps every verdict.
 */
final class VirtualCluster implements Forecaster {
    private static final double PROMPT_TOKEN_NANOS = 100_000;
    private static final double STEP_NANOS = 10e6;
    private static final double DECODE_NANOS = 1e6;

    private final Gpu[] gpus;
    private final PriorityQueue<Event> events = new PriorityQueue<>();
    private final Map<Long, Integer> outputs = new HashMap<>();
    final AdmissionPolicy policy;
    final AdmissionSettings settings;
    final List<Verdict> verdicts = new ArrayList<>();
    final Map<Long, Integer> verdictsById = new HashMap<>();
    final Map<Long, Double> firstTokenNanos = new TreeMap<>();
    final Map<Long, Double> itlNanos = new TreeMap<>();
    private final Map<Long, Applicant> applicants = new HashMap<>();
    private long sequence;
    long now;
    int workers;

    private static final class Gpu {
        final String name;
        long freeNanos;
        int decodes;

        Gpu(String name) {
            this.name = name;
        }
    }

    private record Event(long nanos, long sequence, Runnable what) implements Comparable<Event> {
        @Override
        public int compareTo(Event o) {
            return nanos != o.nanos ? Long.compare(nanos, o.nanos) : Long.compare(sequence, o.sequence);
        }
    }

    VirtualCluster(AdmissionSettings settings, int gpus) {
        this.settings = settings;
        this.gpus = new Gpu[gpus];
        for (int i = 0; i < gpus; i++) {
            this.gpus[i] = new Gpu("gpu-" + i);
        }
        workers = gpus;
        policy = new AdmissionPolicy(settings, this);
    }

    private Gpu best() {
        Gpu best = gpus[0];
        for (Gpu gpu : gpus) {
            best = gpu.freeNanos < best.freeNanos ? gpu : best;
        }
        return best;
    }

    @Override
    public Forecast forecast(Applicant applicant, long nowNanos) {
        if (workers == 0) {
            return Forecast.nobody();
        }
        Gpu gpu = best();
        double wait = Math.max(0, gpu.freeNanos - nowNanos);
        double work = applicant.promptTokens() * PROMPT_TOKEN_NANOS;
        double itl = STEP_NANOS + DECODE_NANOS * (gpu.decodes + 1);
        return new Forecast(
                workers,
                true,
                wait == 0 && gpu.decodes == 0,
                gpu.name,
                wait,
                wait + work,
                work,
                applicant.promptTokens(),
                itl,
                0);
    }

    @Override
    public double itlNanos(Applicant applicant, Forecast forecast, int fewerDecodes, double fewerContextTokens) {
        return forecast.itlNanos() - fewerDecodes * DECODE_NANOS;
    }

    @Override
    public void book(Applicant applicant, Forecast forecast, long nowNanos) {
        Gpu gpu = best();
        long start = Math.max(nowNanos, gpu.freeNanos);
        gpu.freeNanos = start + (long) forecast.workNanos();
        gpu.decodes++;
        at(gpu.freeNanos, () -> firstToken(applicant, gpu));
    }

    private void firstToken(Applicant applicant, Gpu gpu) {
        firstTokenNanos.put(applicant.id(), (double) now - applicant.arrivalNanos());
        double itl = STEP_NANOS + DECODE_NANOS * gpu.decodes;
        itlNanos.put(applicant.id(), itl);
        int output = outputs.get(applicant.id());
        at(now + (long) (itl * output), () -> {
            gpu.decodes--;
            policy.ended(applicant.id(), output, true);
            pump();
        });
        pump();
    }

    private void pump() {
        List<Verdict> out = new ArrayList<>();
        policy.pump(now, out);
        keep(out);
    }

    private void keep(List<Verdict> out) {
        for (Verdict verdict : out) {
            verdicts.add(verdict);
            verdictsById.merge(verdict.applicant().id(), 1, Integer::sum);
        }
    }

    private void at(long nanos, Runnable what) {
        events.add(new Event(nanos, sequence++, what));
    }

    /** A request that arrives then. */
    void arrival(long nanos, long id, String tenant, String tier, int promptTokens, int outputTokens) {
        arrival(nanos, id, tenant, tier, promptTokens, outputTokens, 10_000);
    }

    /** One that asks for so many output tokens at most. */
    void arrival(
            long nanos, long id, String tenant, String tier, int promptTokens, int outputTokens, int maxNewTokens) {
        at(nanos, () -> {
            Applicant applicant = Classes.applicant(settings, id, tenant, tier, promptTokens, maxNewTokens, now);
            applicants.put(id, applicant);
            outputs.put(id, outputTokens);
            List<Verdict> out = new ArrayList<>();
            policy.arrive(applicant, now, out);
            keep(out);
        });
    }

    void cancellation(long nanos, long id) {
        at(nanos, () -> {
            if (policy.cancel(id)) {
                verdictsById.merge(id, 1, Integer::sum);
            }
        });
    }

    /** Runs to the end, looking at the queue every 5 ms. */
    void run() {
        long tick = 0;
        while (!events.isEmpty() || policy.queued() > 0) {
            long next = events.isEmpty() ? Long.MAX_VALUE : events.peek().nanos();
            if (policy.queued() > 0 && now + 5 * Classes.MILLI < next) {
                now += 5 * Classes.MILLI;
                pump();
                if (tick++ > 10_000_000) {
                    throw new AssertionError(policy.queued() + " requests wait for ever");
                }
                continue;
            }
            Event event = events.poll();
            now = event.nanos;
            event.what.run();
        }
    }

    long count(Class<? extends Verdict> kind) {
        return verdicts.stream().filter(kind::isInstance).count();
    }

    /** Requests whose first token and tokens came within their class's targets. */
    int good() {
        int good = 0;
        for (Map.Entry<Long, Double> e : firstTokenNanos.entrySet()) {
            ServiceClass c = applicants.get(e.getKey()).serviceClass();
            good += e.getValue() <= c.ttftTargetNanos() && itlNanos.get(e.getKey()) <= c.itlTargetNanos() ? 1 : 0;
        }
        return good;
    }

    Verdict verdict(long id) {
        return verdicts.stream()
                .filter(v -> v.applicant().id() == id)
                .findFirst()
                .orElseThrow();
    }
}
