package io.tandem.cli;

import io.tandem.settings.SettingRange;
import io.tandem.simulation.fault.FaultReport;
import io.tandem.simulation.fault.FaultSimulation;
import io.tandem.simulation.fault.InvariantViolation;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.ThreadLocalRandom;
import java.util.stream.Collectors;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** Runs the fault simulation over many seeds, or shows what happens in one. Exit code 1 when an invariant broke. */
@Command(
        name = "fault-sim",
        mixinStandardHelpOptions = true,
        description = "A whole cluster under virtual time and faults; every event is followed by its invariants.")
final class FaultSim implements Callable<Integer> {
    /** Each leaves a report until the end. */
    private static final int SEEDS_MAX = 1_000_000;

    private static final int FRAMES = 6;

    private static final int THREADS_MAX = 256;

    @Option(names = "--seeds", defaultValue = "1000", description = "how many (default: ${DEFAULT-VALUE})")
    int seeds;

    @Option(names = "--first", description = "the first seed of many (default: drawn)")
    Long first;

    @Option(names = "--seed", description = "one seed only, with all that happens in it")
    Long seed;

    @Option(names = "--threads", defaultValue = "2", description = "default: ${DEFAULT-VALUE}")
    int threads;

    @Override
    public Integer call() throws Exception {
        if (seed != null) {
            List<String> lines = FaultSimulation.explain(seed);
            lines.forEach(System.out::println);
            return lines.stream().anyMatch(l -> l.startsWith("VIOLATION")) ? 1 : 0;
        }
        SettingRange.check("--seeds", seeds, 1, SEEDS_MAX);
        SettingRange.check("--threads", threads, 1, THREADS_MAX);
        long from = first != null ? first : ThreadLocalRandom.current().nextLong(1L << 40);
        long start = System.nanoTime();
        List<FaultReport> reports = new ArrayList<>();
        List<String> violations = new ArrayList<>();
        try (ExecutorService pool = Executors.newFixedThreadPool(threads)) {
            List<Future<FaultReport>> running = new ArrayList<>();
            for (int i = 0; i < seeds; i++) {
                long next = from + i;
                running.add(pool.submit(() -> run(next)));
            }
            for (Future<FaultReport> one : running) {
                try {
                    reports.add(one.get());
                } catch (java.util.concurrent.ExecutionException e) {
                    violations.add(e.getCause().getMessage());
                }
            }
        }
        summary(from, reports, violations.size(), (System.nanoTime() - start) / 1e9);
        return violations.isEmpty() ? 0 : 1;
    }

    private static FaultReport run(long next) {
        try {
            return FaultSimulation.run(next);
        } catch (InvariantViolation e) {
            System.out.println("VIOLATION " + e.getMessage() + again(next));
            throw e;
        } catch (RuntimeException | Error e) {
            System.out.println("FAILURE " + e + at(e) + again(next));
            throw e;
        }
    }

    private static String again(long seed) {
        return System.lineSeparator() + "  again: ./tandem fault-sim --seed " + seed;
    }

    /** Where a policy threw what nobody expected of it. */
    private static String at(Throwable e) {
        return Arrays.stream(e.getStackTrace())
                .limit(FRAMES)
                .map(f -> System.lineSeparator() + "  at " + f)
                .collect(Collectors.joining());
    }

    private void summary(long from, List<FaultReport> reports, int violations, double seconds) {
        System.out.printf(
                "%,d seeds from %d in %.1f s (%,.0f an hour, %d threads), %,d faults, %,d events: %d violations and failures%n",
                seeds,
                from,
                seconds,
                seeds / seconds * 3600,
                threads,
                reports.stream().mapToInt(FaultReport::faults).sum(),
                reports.stream().mapToLong(FaultReport::events).sum(),
                violations);
        System.out.printf(
                "%,d live moves, %,d changes of role%n",
                reports.stream().mapToInt(FaultReport::moves).sum(),
                reports.stream().mapToLong(FaultReport::roleChanges).sum());
        System.out.printf(
                "%,d requests: %,d whole answers (%,d of them or others resumed midway), %,d cancelled, %,d refused before"
                        + " their first token, %,d past a short deadline, %,d died with their node; %,d tokens checked%n",
                reports.stream().mapToInt(FaultReport::requests).sum(),
                reports.stream().mapToInt(FaultReport::finished).sum(),
                reports.stream().mapToInt(FaultReport::resumed).sum(),
                reports.stream().mapToInt(FaultReport::cancelled).sum(),
                reports.stream().mapToInt(FaultReport::refused).sum(),
                reports.stream().mapToInt(FaultReport::late).sum(),
                reports.stream().mapToInt(FaultReport::endedWithNode).sum(),
                reports.stream().mapToLong(FaultReport::tokens).sum());
    }
}
