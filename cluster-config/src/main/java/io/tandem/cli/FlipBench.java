package io.tandem.cli;

import com.typesafe.config.Config;
import com.typesafe.config.ConfigFactory;
import io.tandem.ClusterStatus;
import io.tandem.GenerationEvent;
import io.tandem.GenerationException;
import io.tandem.GenerationRequest;
import io.tandem.Tandem;
import io.tandem.TandemClient;
import io.tandem.engine.EngineRole;
import io.tandem.sampling.SamplingParams;
import io.tandem.settings.SettingRange;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/**
 * Role flips, live moves and drains under load: a cluster of one prefill and two decode GPUs in this JVM, real control messages
 * and transfers over loopback between its nodes. Every answer is compared with that of an undisturbed run.
 */
@Command(
        name = "flip",
        mixinStandardHelpOptions = true,
        description = "Role flips, live moves and drains with requests in flight; every token is checked.")
final class FlipBench implements Callable<Integer> {
    private static final String PREFILL = "flip-prefill";
    private static final String LEFT = "flip-left";
    private static final String RIGHT = "flip-right";
    private static final long GUARD_SECONDS = 120;

    @Option(names = "--model", paramLabel = "PATH", description = "GGUF file (default: the cached model)")
    Path model;

    @Option(
            names = "--backend",
            defaultValue = "simulated",
            description = "simulated, cpu-vector, cuda (default: simulated)")
    String backend;

    @Option(names = "--requests", defaultValue = "24", description = "in flight during each flip (default: 24)")
    int requests;

    @Option(names = "--flips", defaultValue = "40", description = "default: ${DEFAULT-VALUE}")
    int flips;

    @Option(names = "--drains", defaultValue = "5", description = "default: ${DEFAULT-VALUE}")
    int drains;

    @Option(
            names = "--prompt",
            defaultValue = "64",
            description = "tokens of the shortest prompt; the others are up to 368 longer (default: 64)")
    int prompt;

    @Option(names = "--kv-memory", defaultValue = "512M", description = "KV memory of a GPU (default: 512M)")
    String kvMemory;

    @Option(
            names = "--devices",
            defaultValue = "1",
            description =
                    "with --backend cuda: 1 = all GPUs of the cluster share device 0, 2 = one decode GPU is device 1 (default: 1)")
    int devices;

    @Option(names = "--output", defaultValue = "400", description = "tokens of an answer (default: 400)")
    int output;

    private final List<Tandem> nodes = new ArrayList<>();
    private final List<int[]> prompts = new ArrayList<>();
    private final List<int[]> expected = new ArrayList<>();
    private TandemClient client;
    private int differing;
    private int differingUndisturbed;

    /** What one client saw. */
    private static final class Answer implements TandemClient.GenerationObserver {
        final List<Integer> tokens = new ArrayList<>();
        final List<Long> atNanos = new ArrayList<>();
        final CompletableFuture<GenerationEvent.Finished> end = new CompletableFuture<>();
        volatile int received;

        @Override
        public void onEvent(GenerationEvent event) {
            if (event instanceof GenerationEvent.Tokens t) {
                for (int id : t.tokenIds()) {
                    tokens.add(id);
                    atNanos.add(System.nanoTime());
                }
                received = tokens.size();
            } else if (event instanceof GenerationEvent.Finished f) {
                end.complete(f);
            }
        }

        @Override
        public void onError(GenerationException e) {
            end.completeExceptionally(e);
        }

        int[] await() throws Exception {
            end.get(GUARD_SECONDS, TimeUnit.SECONDS);
            return tokens.stream().mapToInt(Integer::intValue).toArray();
        }
    }

    @Override
    public Integer call() throws Exception {
        SettingRange.check("--requests", requests, 1, 1024);
        SettingRange.check("--flips", flips, 1, 100_000);
        SettingRange.check("--drains", drains, 0, 100_000);
        SettingRange.check("--prompt", prompt, 1, 1 << 20);
        SettingRange.check("--output", output, 2, 1 << 20);
        SettingRange.check("--devices", devices, 1, 2);
        try {
            open();
            measure();
            return 0;
        } finally {
            nodes.reversed().forEach(Tandem::close);
        }
    }

    private void open() throws Exception {
        Path file = model == null ? ModelStore.pull() : model;
        Tandem api = node(file, Map.of());
        client = api.client();
        String seed = client.clusterStatus().self();
        for (String gpu : List.of(PREFILL, LEFT, RIGHT)) {
            String role = gpu.equals(PREFILL) ? "prefill" : "decode";
            node(
                    file,
                    Map.of(
                            "tandem.node.seeds",
                            List.of(seed),
                            "tandem.node.gpus",
                            List.of(Map.of("id", gpu, "role", role)),
                            "tandem.compute.cuda.device",
                            gpu.equals(RIGHT) ? devices - 1 : 0));
        }
        await(
                () -> client.clusterStatus().ready()
                        && client.clusterStatus().workers().size() == 3,
                "three workers");
        Random random = new Random(1);
        for (int i = 0; i < requests; i++) {
            prompts.add(random.ints(prompt + 16 * (i % 24), 100, 30_000).toArray());
        }
        expected.addAll(undisturbed());
        List<int[]> again = undisturbed();
        for (int i = 0; i < requests; i++) {
            differingUndisturbed += Arrays.equals(expected.get(i), again.get(i)) ? 0 : 1;
        }
        if (differingUndisturbed > 0 && !backend.equals("cuda")) {
            throw new IllegalStateException(differingUndisturbed + " answers differ between two undisturbed runs");
        }
    }

    private List<int[]> undisturbed() throws Exception {
        List<Answer> answers = new ArrayList<>();
        prompts.forEach(p -> answers.add(start(p)));
        List<int[]> tokens = new ArrayList<>();
        for (Answer a : answers) {
            tokens.add(a.await());
        }
        return tokens;
    }

    private Tandem node(Path file, Map<String, Object> own) {
        Map<String, Object> all = new HashMap<>(own);
        all.put("tandem.node.model.path", file.toString());
        all.put("tandem.compute.backend", backend);
        all.put("tandem.compute.threads", 1);
        all.put("tandem.engine.kv-memory-bytes", kvMemory);
        all.put("tandem.supervisor.mode", "off");
        all.put("tandem.admission.enabled", "off");
        all.put("tandem.transfer.term-bytes", "1M");
        all.put("tandem.transfer.window-bytes", "512K");
        Config config = ConfigFactory.parseMap(all);
        Tandem node = Tandem.start(config);
        nodes.add(node);
        return node;
    }

    private Answer start(int[] prompt) {
        Answer answer = new Answer();
        client.start(
                new GenerationRequest(
                        client.models().getFirst().name(),
                        new GenerationRequest.TokenIds(prompt),
                        output,
                        SamplingParams.greedy(),
                        List.of(),
                        true,
                        "",
                        Duration.ofMinutes(5)),
                answer);
        return answer;
    }

    private static void await(BooleanSupplier condition, String what) {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(GUARD_SECONDS);
        while (!condition.getAsBoolean()) {
            if (System.nanoTime() - end > 0) {
                throw new IllegalStateException("waited " + GUARD_SECONDS + " s for " + what);
            }
            LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(2));
        }
    }

    /** All requests, decoding on one GPU: the other one takes none until they have begun. */
    private List<Answer> load(String on) {
        String other = on.equals(LEFT) ? RIGHT : LEFT;
        client.drain(other).toCompletableFuture().join();
        await(() -> worker(other).draining(), "the other GPU to take nothing");
        List<Answer> answers = new ArrayList<>();
        prompts.forEach(p -> answers.add(start(p)));
        await(() -> answers.stream().allMatch(a -> a.received >= 3), "every answer to begin");
        await(() -> worker(on).stats().running() >= requests, "every answer to decode on " + on);
        client.undrain(other).toCompletableFuture().join();
        await(() -> !worker(other).draining(), "the other GPU to take work");
        return answers;
    }

    private ClusterStatus.Worker worker(String gpu) {
        return client.clusterStatus().workers().stream()
                .filter(w -> w.gpuId().equals(gpu))
                .findFirst()
                .orElseThrow();
    }

    private void measure() throws Exception {
        List<Double> toPrefill = new ArrayList<>();
        List<Double> toDecode = new ArrayList<>();
        List<Double> drained = new ArrayList<>();
        List<Double> pauses = new ArrayList<>();
        List<Double> steps = new ArrayList<>();
        int resumes = 0;
        for (int i = 0; i < flips; i++) {
            String gpu = i % 2 == 0 ? LEFT : RIGHT;
            List<Answer> answers = load(gpu);
            long began = System.nanoTime();
            toPrefill.add(timed(() -> client.setRole(gpu, EngineRole.PREFILL)
                    .toCompletableFuture()
                    .join()));
            await(() -> worker(gpu).stats().running() == 0, "decodes to move");
            toDecode.add(timed(() ->
                    client.setRole(gpu, EngineRole.DECODE).toCompletableFuture().join()));
            resumes += check(answers, began, pauses, steps);
        }
        for (int i = 0; i < drains; i++) {
            List<Answer> answers = load(LEFT);
            drained.add(timed(() -> client.drain(LEFT).toCompletableFuture().join()));
            client.undrain(LEFT).toCompletableFuture().join();
            resumes += check(answers, 0, new ArrayList<>(), new ArrayList<>());
        }
        System.out.println("| what | n | p50 ms | p99 ms | max ms |");
        System.out.println("|---|---|---|---|---|");
        row("D to P: from the decision to the first step in the new role", toPrefill);
        row("P to D: the same", toDecode);
        row("drain of a decode GPU", drained);
        row("longest pause between two tokens of an answer that moved", pauses);
        row("median time between its tokens", steps);
        System.out.printf(
                "%d requests in flight, %d answers, %d with other tokens (between two undisturbed runs %d of %d), %d computed again%n",
                requests, requests * (flips + drains), differing, differingUndisturbed, requests, resumes);
    }

    private static double timed(Runnable action) {
        long start = System.nanoTime();
        action.run();
        return (System.nanoTime() - start) / 1e6;
    }

    /** Compares every token, notes the gaps since a moment; answers how often a request was computed again. */
    private int check(List<Answer> answers, long sinceNanos, List<Double> pauses, List<Double> steps) throws Exception {
        int resumes = 0;
        for (int i = 0; i < answers.size(); i++) {
            Answer a = answers.get(i);
            int[] tokens = a.await();
            if (tokens.length != output) {
                throw new IllegalStateException("answer " + i + " has " + tokens.length + " tokens");
            }
            boolean same = Arrays.equals(expected.get(i), tokens);
            differing += same ? 0 : 1;
            // On a GPU a row's rounding depends on the batch around it, so a disturbed answer may rightly be another
            // one.
            if (!same && !backend.equals("cuda")) {
                throw new IllegalStateException("answer " + i + " has other tokens than the undisturbed run");
            }
            resumes += a.end.join().report().resumes();
            List<Double> gaps = new ArrayList<>();
            for (int t = 1; t < a.atNanos.size(); t++) {
                if (a.atNanos.get(t) - sinceNanos > 0) {
                    gaps.add((a.atNanos.get(t) - a.atNanos.get(t - 1)) / 1e6);
                }
            }
            Collections.sort(gaps);
            pauses.add(gaps.getLast());
            steps.add(gaps.get(gaps.size() / 2));
        }
        return resumes;
    }

    private static void row(String what, List<Double> values) {
        double[] sorted =
                values.stream().mapToDouble(Double::doubleValue).sorted().toArray();
        System.out.printf(
                Locale.ROOT,
                "| %s | %d | %.1f | %.1f | %.1f |%n",
                what,
                sorted.length,
                at(sorted, 0.5),
                at(sorted, 0.99),
                at(sorted, 1));
    }

    private static double at(double[] sorted, double share) {
        return sorted.length == 0 ? 0 : sorted[(int) Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
    }
}
