package io.tandem.supervisor;

import io.tandem.Failures;
import io.tandem.engine.EngineRole;
import io.tandem.engine.EngineStats;
import io.tandem.routing.WorkerDirectory;
import io.tandem.worker.WorkerReport;
import java.time.Duration;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.TimeoutException;
import java.util.function.Function;

/**
 * Why a worker did not say that what an operator wants is done: what its reports tell when the time is over.
 *
 * @param asked the worker as it was asked
 * @param waited for its answer, at most
 * @param passed until the failure: sooner than that, nobody was there to be asked
 */
record Unanswered(WorkerReport asked, Duration waited, Duration passed) {

    /** A question that was asked at a time, by {@link System#nanoTime()}. */
    static Unanswered since(long askedNanos, WorkerReport asked, Duration waited) {
        return new Unanswered(asked, waited, Duration.ofNanos(System.nanoTime() - askedNanos));
    }

    private static final String KNOWS_NOTHING = "it was started anew meanwhile and knows nothing of it; ask again";

    /** For people. */
    String roleChange(EngineRole wanted, Throwable failure, List<WorkerDirectory.Entry> workers) {
        return text(failure, workers, now -> {
            String is = now.role().name().toLowerCase(Locale.ROOT);
            return now.role() == wanted
                    ? "its answer did not arrive within " + seconds() + ", but it is " + is
                    : isAnother(now)
                            ? KNOWS_NOTHING
                            : "no step ran in that role within " + seconds() + "; it is " + is + " still, "
                                    + load(now.stats());
        });
    }

    /** For people. */
    String drain(boolean draining, Throwable failure, List<WorkerDirectory.Entry> workers) {
        return text(
                failure,
                workers,
                now -> isAnother(now) && now.draining() != draining
                        ? KNOWS_NOTHING
                        : draining
                                ? "it is not idle after " + seconds() + ": " + load(now.stats())
                                        + "; it stays out of routing, and another drain waits on"
                                : "its answer did not arrive within " + seconds() + "; it is "
                                        + (now.draining() ? "out of routing still" : "in routing"));
    }

    private String text(Throwable failure, List<WorkerDirectory.Entry> workers, Function<WorkerReport, String> busy) {
        if (!(Failures.cause(failure) instanceof TimeoutException) || passed.compareTo(waited) < 0) {
            return asked.gpuId() + " could not be asked: " + Failures.text(failure);
        }
        Optional<WorkerDirectory.Entry> known = workers.stream()
                .filter(e -> e.report().gpuId().equals(asked.gpuId()))
                .findFirst();
        String why = known.isEmpty()
                ? "it left the cluster meanwhile"
                : !known.get().live()
                        ? "it was lost meanwhile"
                        : busy.apply(known.get().report());
        return asked.gpuId() + ": " + why;
    }

    private boolean isAnother(WorkerReport now) {
        return now.epoch() != asked.epoch();
    }

    private static String load(EngineStats s) {
        return s.running() + " sequences run and " + (s.waiting() + s.reserved()) + " wait there";
    }

    private String seconds() {
        return waited.toMillis() < 10_000 ? waited.toMillis() + " ms" : waited.toSeconds() + " s";
    }
}
