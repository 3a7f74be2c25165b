package io.tandem.simulation.fault;

import java.util.ArrayList;
import java.util.List;

/**
 * Who is a member, after Pekko's failure detector and "keep majority": a node that hears nothing of another for a while calls
 * it unreachable; when that lasts, the larger side goes on and the others end themselves.
 */
final class Membership {
    private static final long TICK_NANOS = 200_000_000;

    private final World world;
    private final List<SimulatedNode> nodes;
    private final boolean[] member;
    private final int[] incarnation;
    private final long[][] silentSince;
    private final boolean[][] unreachable;

    Membership(World world, List<SimulatedNode> nodes) {
        this.world = world;
        this.nodes = nodes;
        int n = nodes.size();
        member = new boolean[n];
        incarnation = new int[n];
        silentSince = new long[n][n];
        unreachable = new boolean[n][n];
        world.time.after(TICK_NANOS, this::tick);
    }

    boolean isMember(SimulatedNode node) {
        return isMember(node, node.incarnation());
    }

    boolean isMember(SimulatedNode node, int itsIncarnation) {
        return member[node.index()] && incarnation[node.index()] == itsIncarnation;
    }

    /** A node joins; an earlier incarnation of it is removed first, as a node that comes back replaces itself. */
    void join(SimulatedNode node) {
        int i = node.index();
        if (member[i]) {
            remove(i);
        }
        member[i] = true;
        incarnation[i] = node.incarnation();
        for (int j = 0; j < nodes.size(); j++) {
            silentSince[i][j] = -1;
            silentSince[j][i] = -1;
            unreachable[i][j] = false;
            unreachable[j][i] = false;
        }
    }

    private boolean connected(SimulatedNode a, SimulatedNode b) {
        return a.runs()
                && b.runs()
                && isMember(a)
                && isMember(b)
                && world.control.open(a, b)
                && world.control.open(b, a);
    }

    private void tick() {
        long now = world.time.nowMillis();
        boolean down = false;
        for (int i = 0; i < nodes.size(); i++) {
            for (int j = 0; j < nodes.size(); j++) {
                if (i != j && member[i] && member[j]) {
                    down |= observe(i, j, now);
                }
            }
        }
        if (down) {
            keepMajority();
        }
        world.time.after(TICK_NANOS, this::tick);
    }

    /** Node i looks at node j; answers whether j has been silent so long that sides must be taken. */
    private boolean observe(int i, int j, long now) {
        if (connected(nodes.get(i), nodes.get(j))) {
            silentSince[i][j] = -1;
            unreachable[i][j] = false;
            return false;
        }
        if (silentSince[i][j] < 0) {
            silentSince[i][j] = now;
        }
        long silent = now - silentSince[i][j];
        if (silent >= world.plan.detectMillis() && !unreachable[i][j]) {
            unreachable[i][j] = true;
            tell(i, () -> nodes.get(i).onUnreachable(nodes.get(j)));
        }
        return silent >= world.plan.downMillis();
    }

    private void tell(int i, Runnable news) {
        SimulatedNode node = nodes.get(i);
        if (node.alive() && incarnation[i] == node.incarnation()) {
            node.run(news);
        }
    }

    private void keepMajority() {
        List<Integer> best = List.of();
        for (int i = 0; i < nodes.size(); i++) {
            List<Integer> side = side(i);
            if (side.size() > best.size()) {
                best = side;
            }
        }
        if (best.isEmpty()) {
            return;
        }
        for (int i = 0; i < nodes.size(); i++) {
            if (member[i] && !best.contains(i)) {
                remove(i);
                world.endDowned(nodes.get(i), incarnation[i]);
            }
        }
    }

    private List<Integer> side(int i) {
        List<Integer> side = new ArrayList<>();
        if (member[i] && nodes.get(i).runs() && isMember(nodes.get(i))) {
            side.add(i);
            for (int j = 0; j < nodes.size(); j++) {
                if (j != i && member[j] && connected(nodes.get(i), nodes.get(j))) {
                    side.add(j);
                }
            }
        }
        return side;
    }

    private void remove(int i) {
        member[i] = false;
        String identity = nodes.get(i).name() + "#" + incarnation[i];
        for (int j = 0; j < nodes.size(); j++) {
            SimulatedNode other = nodes.get(j);
            int gone = incarnation[i];
            if (j != i && member[j]) {
                world.control.quarantine(identity, other.name() + "#" + incarnation[j]);
                tell(j, () -> other.onRemoved(nodes.get(i), gone));
            }
        }
    }
}
