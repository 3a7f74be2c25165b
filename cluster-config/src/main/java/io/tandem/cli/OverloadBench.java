package io.tandem.cli;

import com.fasterxml.jackson.databind.JsonNode;
import io.tandem.settings.SettingRange;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/**
 * Requests that come whether or not the earlier ones are answered, at a rate that may be more than the cluster can do: how many
 * got their first token and their tokens within their class's targets, and how soon the others were told.
 */
@Command(
        name = "overload",
        mixinStandardHelpOptions = true,
        description = "Goodput under an open load: Poisson arrivals at given rates, no prefix shared.")
final class OverloadBench implements Callable<Integer> {
    @Mixin
    TandemCommand.Where where;

    private static final int RATE_MAX = 100_000;

    @Option(names = "--rates", split = ",", defaultValue = "5,10,20,40", description = "requests a second")
    List<Double> rates;

    @Option(names = "--seconds", defaultValue = "20", description = "of arrivals a rate (default: ${DEFAULT-VALUE})")
    int seconds;

    @Option(names = "--repeats", defaultValue = "1", description = "of each rate (default: ${DEFAULT-VALUE})")
    int repeats;

    @Option(names = "--prompt", defaultValue = "500", description = "mean prompt tokens (default: ${DEFAULT-VALUE})")
    int promptTokens;

    @Option(names = "--tokens", defaultValue = "30", description = "output tokens (default: ${DEFAULT-VALUE})")
    int outputTokens;

    @Option(names = "--tier", defaultValue = "default", description = "service_tier (default: ${DEFAULT-VALUE})")
    String tier;

    /** What became of one request. Times in milliseconds. */
    private record Outcome(int status, double ttftMs, double itlMs, double answeredMs) {
        boolean served() {
            return status == 200;
        }
    }

    private record Targets(double ttftMs, double itlMs) {
        boolean met(Outcome o) {
            return o.served() && o.ttftMs <= ttftMs && o.itlMs <= itlMs;
        }
    }

    @Override
    public Integer call() throws Exception {
        rates.forEach(rate -> SettingRange.checkPositive("--rates", rate, RATE_MAX));
        try (ApiClient api = where.open();
                ExecutorService callers = Executors.newVirtualThreadPerTaskExecutor()) {
            String model = api.get("/v1/models").path("data").path(0).path("id").asText();
            Targets targets = targets(api.get("/admin/cluster").path("admission"));
            Random random = new Random(11);
            for (int i = 0; i < 20; i++) {
                one(api, prompt(model, random), System.nanoTime());
            }
            System.out.printf(
                    "targets of '%s': first token %.0f ms, between tokens %.0f ms%n%n",
                    tier, targets.ttftMs, targets.itlMs);
            System.out.println("| requests/s | sent | served | refused | failed | within targets | a second"
                    + " | TTFT p50 ms | p99 | ITL p50 ms | refused after p50 ms | p99 |");
            System.out.println("|---|---|---|---|---|---|---|---|---|---|---|---|");
            int seed = 100;
            for (double rate : rates) {
                for (int repeat = 0; repeat < repeats; repeat++) {
                    row(rate, load(api, callers, model, rate, new Random(seed++)), targets);
                }
            }
            return 0;
        }
    }

    private Targets targets(JsonNode admission) {
        for (JsonNode c : admission.path("classes")) {
            if (c.path("name").asText().equals(tier)) {
                return new Targets(
                        c.path("ttft_target_ms").asDouble(),
                        c.path("itl_target_ms").asDouble());
            }
        }
        throw new IllegalArgumentException("--tier: the node has no service class '" + tier + "'");
    }

    private Map<String, Object> prompt(String model, Random random) {
        int tokens = promptTokens / 2 + random.nextInt(Math.max(1, promptTokens));
        Map<String, Object> body = Bench.body(model, Bench.randomPrompt(random, Math.max(1, tokens)), outputTokens);
        body.put("service_tier", tier);
        return body;
    }

    private List<Outcome> load(ApiClient api, ExecutorService callers, String model, double rate, Random random)
            throws Exception {
        List<Future<Outcome>> running = new ArrayList<>();
        long start = System.nanoTime();
        double atSeconds = 0;
        while (true) {
            atSeconds -= Math.log(1 - random.nextDouble()) / rate;
            if (atSeconds > seconds) {
                break;
            }
            Map<String, Object> body = prompt(model, random);
            long due = start + (long) (atSeconds * 1e9);
            TimeUnit.NANOSECONDS.sleep(Math.max(0, due - System.nanoTime()));
            running.add(callers.submit(() -> one(api, body, due)));
        }
        List<Outcome> outcomes = new ArrayList<>(running.size());
        for (Future<Outcome> one : running) {
            outcomes.add(one.get());
        }
        return outcomes;
    }

    /** Sends one request; its time counts from when it was due. */
    private static Outcome one(ApiClient api, Map<String, Object> body, long dueNanos) throws InterruptedException {
        long[] first = new long[1];
        long[] last = new long[1];
        int[] tokens = new int[1];
        int status = 200;
        try {
            api.stream("/v1/completions", body, chunk -> {
                JsonNode report = chunk.path("tandem");
                if (report.has("output_tokens")) {
                    tokens[0] = report.path("output_tokens").asInt();
                } else {
                    last[0] = System.nanoTime();
                    first[0] = first[0] == 0 ? last[0] : first[0];
                }
            });
        } catch (ApiClient.ApiException e) {
            status = e.status() == 0 ? 429 : e.status();
        } catch (IOException | RuntimeException e) {
            status = -1;
        }
        double itl = tokens[0] > 1 ? (last[0] - first[0]) / 1e6 / (tokens[0] - 1) : 0;
        return new Outcome(status, (first[0] - dueNanos) / 1e6, itl, (System.nanoTime() - dueNanos) / 1e6);
    }

    private void row(double rate, List<Outcome> outcomes, Targets targets) {
        List<Outcome> served = outcomes.stream().filter(Outcome::served).toList();
        List<Outcome> refused = outcomes.stream().filter(o -> o.status == 429).toList();
        long good = outcomes.stream().filter(targets::met).count();
        System.out.printf(
                "| %.1f | %d | %d | %d | %d | %d | %.2f | %.0f | %.0f | %.1f | %.0f | %.0f |%n",
                rate,
                outcomes.size(),
                served.size(),
                refused.size(),
                outcomes.size() - served.size() - refused.size(),
                good,
                (double) good / seconds,
                at(served.stream().map(Outcome::ttftMs).toList(), 0.5),
                at(served.stream().map(Outcome::ttftMs).toList(), 0.99),
                at(served.stream().map(Outcome::itlMs).toList(), 0.5),
                at(refused.stream().map(Outcome::answeredMs).toList(), 0.5),
                at(refused.stream().map(Outcome::answeredMs).toList(), 0.99));
    }

    private static double at(List<Double> values, double quantile) {
        if (values.isEmpty()) {
            return Double.NaN;
        }
        List<Double> sorted = values.stream().sorted().toList();
        return sorted.get((int) Math.min(sorted.size() - 1L, Math.round(quantile * (sorted.size() - 1))));
    }
}
