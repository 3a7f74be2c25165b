package io.tandem.simulation.fault;

import java.util.ArrayDeque;
import java.util.HashSet;
import java.util.Set;
import java.util.SplittableRandom;

/**
 * Control messages between nodes. Between two nodes they keep their order unless the plan says otherwise; a partition holds
 * them up and loses some; two incarnations that were parted for good never hear of each other again.
 */
final class ControlNetwork {
    private static final long LOCAL_NANOS = 20_000;

    private record Held(String pair, int toIncarnation, Runnable delivery) {}

    private final VirtualTime time;
    private final FaultPlan plan;
    private final SplittableRandom random;
    private final int nodes;
    private final long[] lastArrivalNanos;
    private final boolean[] blocked;
    private final ArrayDeque<Held>[] held;
    private final Set<String> quarantined = new HashSet<>();
    private boolean calm;

    @SuppressWarnings({"unchecked", "rawtypes"})
    ControlNetwork(VirtualTime time, FaultPlan plan, SplittableRandom random, int nodes) {
        this.time = time;
        this.plan = plan;
        this.random = random;
        this.nodes = nodes;
        lastArrivalNanos = new long[nodes * nodes];
        blocked = new boolean[nodes * nodes];
        held = new ArrayDeque[nodes * nodes];
        for (int i = 0; i < held.length; i++) {
            held[i] = new ArrayDeque<>();
        }
    }

    /** From now on nothing is lost or doubled by chance. */
    void calm() {
        calm = true;
    }

    private int way(SimulatedNode from, SimulatedNode to) {
        return from.index() * nodes + to.index();
    }

    boolean open(SimulatedNode from, SimulatedNode to) {
        return !blocked[way(from, to)];
    }

    void block(SimulatedNode from, SimulatedNode to) {
        blocked[way(from, to)] = true;
    }

    /** Opens a way; what was held up comes now. */
    void unblock(SimulatedNode from, SimulatedNode to) {
        int way = way(from, to);
        blocked[way] = false;
        while (!held[way].isEmpty()) {
            Held message = held[way].poll();
            if (message.toIncarnation == to.incarnation()) {
                travel(message.pair, to, message.delivery, way);
            }
        }
    }

    /** These two incarnations are parted for good. */
    void quarantine(String one, String other) {
        quarantined.add(one + " " + other);
        quarantined.add(other + " " + one);
    }

    static String identity(SimulatedNode node) {
        return node.name() + "#" + node.incarnation();
    }

    /** Sends; {@code delivery} runs on the receiver's incarnation of now. */
    void send(SimulatedNode from, SimulatedNode to, Runnable delivery) {
        if (from.index() == to.index()) {
            to.after(LOCAL_NANOS, delivery);
            return;
        }
        if (chance(plan.lossPerMillion())) {
            return;
        }
        int way = way(from, to);
        String pair = identity(from) + " " + identity(to);
        if (chance(plan.doublePerMillion())) {
            travel(pair, to, delivery, way);
        }
        travel(pair, to, delivery, way);
    }

    private boolean chance(int perMillion) {
        return perMillion > 0 && !calm && random.nextInt(1_000_000) < perMillion;
    }

    private void travel(String pair, SimulatedNode to, Runnable delivery, int way) {
        int incarnation = to.incarnation();
        long arrival = time.nowNanos() + 1_000L * random.nextInt(10, plan.latencyMicros());
        if (plan.ordered() || calm) {
            arrival = Math.max(arrival, lastArrivalNanos[way] + 1);
            lastArrivalNanos[way] = arrival;
        }
        time.at(arrival, () -> {
            if (quarantined.contains(pair)) {
                return;
            }
            if (blocked[way]) {
                if (random.nextInt(100) >= plan.cutLossPercent()) {
                    held[way].add(new Held(pair, incarnation, delivery));
                }
            } else if (to.alive() && to.incarnation() == incarnation) {
                to.run(delivery);
            }
        });
    }
}
