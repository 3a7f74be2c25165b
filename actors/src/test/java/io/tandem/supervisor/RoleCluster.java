package io.tandem.supervisor;

import io.tandem.engine.EngineRole;
import io.tandem.routing.StepTimeModel;
import io.tandem.supervisor.RebalancePolicy.Flip;
import io.tandem.supervisor.RebalancePolicy.Outcome;
import io.tandem.supervisor.RebalancePolicy.State;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;

/** Workers with roles under a Poisson stream of requests with log-normal lengths; virtual time, one seed, no engine. */
final class RoleCluster {
    static final long SECOND = 1_000_000_000L;

    private static final class Worker {
        EngineRole role;
        EngineRole previous;
        long since;
        boolean available = true;
        /** How fast it computes prompts, and how fast it decodes, against the others. */
        double prefillSpeed = 1;

        double decodeSpeed = 1;
    }

    private final Map<String, Worker> workers = new LinkedHashMap<>();
    private final SplittableRandom random;
    private final RebalancePolicy policy;
    private final RebalanceSettings settings;
    private final DemandWindow window;
    private final List<Flip> flips = new ArrayList<>();
    private final List<Long> flippedAt = new ArrayList<>();
    private State state = State.START;
    private Outcome latest;
    private long now = SECOND;

    RoleCluster(long seed, RebalanceSettings settings, EngineRole... roles) {
        random = new SplittableRandom(seed);
        this.settings = settings;
        policy = new RebalancePolicy(settings);
        window = new DemandWindow(settings.demandHalfLife().toNanos());
        for (int i = 0; i < roles.length; i++) {
            Worker w = new Worker();
            w.role = roles[i];
            w.previous = roles[i];
            workers.put("gpu-" + i, w);
        }
    }

    static RebalanceSettings settings() {
        return new RebalanceSettings(
                RebalanceSettings.Mode.ACT,
                Duration.ofSeconds(2),
                Duration.ofSeconds(20),
                Duration.ofSeconds(30),
                Duration.ofSeconds(10),
                Duration.ofSeconds(20),
                3,
                0.15,
                0.6,
                0.05,
                Duration.ofSeconds(2),
                Duration.ofMillis(25));
    }

    /** Runs for that long with that demand; lengths vary by a factor of about two either way. */
    void run(double seconds, double requestsPerSecond, int meanPrompt, int meanOutput) {
        long end = now + Math.round(seconds * SECOND);
        long next = now;
        for (long round = now + settings.interval().toNanos();
                round <= end;
                round += settings.interval().toNanos()) {
            while (next < round) {
                window.arrived(length(meanPrompt), next);
                window.finished(length(meanPrompt), length(meanOutput), next);
                next += Math.round(-Math.log(1 - random.nextDouble()) / requestsPerSecond * SECOND);
            }
            now = round;
            decide();
        }
    }

    /** Runs without any request. */
    void idle(double seconds) {
        long end = now + Math.round(seconds * SECOND);
        while (now < end) {
            now += settings.interval().toNanos();
            decide();
        }
    }

    private int length(int mean) {
        double sigma = 0.7;
        double normal = random.nextGaussian();
        return (int) Math.max(1, mean * Math.exp(sigma * normal - sigma * sigma / 2));
    }

    private void decide() {
        latest = policy.decide(state, views(), window.demand(now), now);
        state = latest.state();
        for (Flip f : latest.flips()) {
            Worker w = workers.get(f.gpuId());
            if (w.role != f.from()) {
                throw new AssertionError(f + " but it is " + w.role);
            }
            w.previous = w.role;
            w.role = f.to();
            w.since = now;
            flips.add(f);
            flippedAt.add(now);
        }
    }

    List<WorkerView> views() {
        List<WorkerView> views = new ArrayList<>();
        workers.forEach((id, w) -> views.add(new WorkerView(
                id,
                w.available,
                w.role,
                w.previous,
                now - w.since,
                new StepTimeModel(8192, 6e6 / w.decodeSpeed, 40e3 / w.prefillSpeed, 20 / w.decodeSpeed),
                0,
                0,
                1_000_000)));
        return views;
    }

    void speeds(int worker, double prefill, double decode) {
        workers.get("gpu-" + worker).prefillSpeed = prefill;
        workers.get("gpu-" + worker).decodeSpeed = decode;
    }

    void lose(int worker) {
        workers.get("gpu-" + worker).available = false;
    }

    void comeBack(int worker, EngineRole role) {
        Worker w = workers.get("gpu-" + worker);
        w.available = true;
        w.role = role;
        w.previous = role;
        w.since = now;
    }

    /** Another supervisor takes over: it knows nothing. */
    void handOver() {
        state = State.START;
    }

    List<Flip> flips() {
        return flips;
    }

    List<Long> flippedAt() {
        return flippedAt;
    }

    Outcome latest() {
        return latest;
    }

    State state() {
        return state;
    }

    long count(EngineRole role) {
        return workers.values().stream()
                .filter(w -> w.available && w.role == role)
                .count();
    }

    EngineRole role(int worker) {
        return workers.get("gpu-" + worker).role;
    }
}
