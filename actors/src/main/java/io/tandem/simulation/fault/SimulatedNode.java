package io.tandem.simulation.fault;

import java.util.ArrayDeque;

/** A process: it dies, hangs and comes back; what happens to it while it hangs happens when it goes on. */
abstract class SimulatedNode {
    final World world;
    private final String name;
    private final int index;
    private final ArrayDeque<Runnable> whileHung = new ArrayDeque<>();
    private boolean alive;
    private boolean hung;
    private boolean wasHung;
    private int incarnation;
    private long clockSkewMillis;

    SimulatedNode(World world, String name, int index) {
        this.world = world;
        this.name = name;
        this.index = index;
    }

    final String name() {
        return name;
    }

    final int index() {
        return index;
    }

    final boolean alive() {
        return alive;
    }

    final boolean hung() {
        return hung;
    }

    /** Whether it ever hung: then its timers were late. */
    final boolean wasHung() {
        return wasHung;
    }

    /** Alive and not hung. */
    final boolean runs() {
        return alive && !hung;
    }

    final int incarnation() {
        return incarnation;
    }

    /** The wall clock of this node. */
    final long epochMillis() {
        return 1_700_000_000_000L + world.time.nowMillis() + clockSkewMillis;
    }

    final void stepClock(long millis) {
        clockSkewMillis += millis;
    }

    final void start() {
        alive = true;
        hung = false;
        incarnation++;
        onStart();
    }

    final void die() {
        alive = false;
        hung = false;
        whileHung.clear();
        onDeath();
    }

    final void hang() {
        wasHung = true;
        hung = true;
    }

    /** Goes on after a hang, with all that piled up. */
    final void goOn() {
        hung = false;
        int mine = incarnation;
        while (!whileHung.isEmpty() && alive && !hung && incarnation == mine) {
            carryOut(whileHung.poll());
        }
    }

    /** Has this incarnation do something after a while. */
    final void after(long nanos, Runnable action) {
        int mine = incarnation;
        world.time.after(nanos, () -> {
            if (alive && incarnation == mine) {
                run(action);
            }
        });
    }

    /** Has this node do something now, or when it goes on. */
    final void run(Runnable action) {
        if (hung) {
            whileHung.add(action);
        } else if (alive) {
            carryOut(action);
        }
    }

    private void carryOut(Runnable action) {
        SimulatedNode before = world.enter(this);
        try {
            action.run();
        } finally {
            world.leave(before);
        }
        verify();
    }

    /** The node's invariants; called after each of its events. */
    abstract void verify();

    abstract void onStart();

    abstract void onDeath();

    /** Another node is unreachable. */
    abstract void onUnreachable(SimulatedNode node);

    /** The process of another node, a member still, is dead, as its closed connections say. */
    abstract void onProcessGone(SimulatedNode node, int itsIncarnation);

    /** It is not after all. */
    abstract void onProcessBack(SimulatedNode node);

    /** An incarnation of another node is no member any more. */
    abstract void onRemoved(SimulatedNode node, int itsIncarnation);
}
