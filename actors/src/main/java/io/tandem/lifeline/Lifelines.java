package io.tandem.lifeline;

import io.tandem.LifelineStatus;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.Iterator;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Decides from what happens to idle connections which processes are dead: one that was connected, whose connection closed, and
 * that now refuses a new one, or in whose place another process answers. Anything else (silence, no route, a listener that was
 * never reached) proves nothing, and is left to time-outs. Events in, effects out; no clock, no socket.
 *
 * <p>Every {@link Effect.Connect} is answered by exactly one of {@link #onOpened}, {@link #onRefused} and {@link #onFailed}, and
 * what was opened by one {@link #onClosed}; a connection that was given up and opens all the same is closed.
 */
public final class Lifelines {
    /** A dying process closes its sockets one by one: its listener may accept for a moment after a connection has closed. */
    private static final int QUICK_TRIES = 10;

    private static final long FIRST_PAUSE_NANOS = 1_000_000;

    /**
     * A process that is watched. A successor under the same address is another one, by its id.
     *
     * @param node host:port of its control messages
     * @param host where it listens
     * @param port where it listens
     * @param processId what it greets with
     */
    public record Peer(String node, String host, int port, long processId) {}

    /** What is to be done. */
    public sealed interface Effect {
        /** @param line names the connection */
        record Connect(long line, String host, int port) implements Effect {}

        /** Of a connection, open or on its way. */
        record Close(long line) implements Effect {}

        /** {@link #onDue} is to be called after so long. */
        record Later(Peer peer, long nanos) implements Effect {}

        /** The process is dead. */
        record Gone(Peer peer, String why) implements Effect {}

        /** It is not after all. */
        record Back(Peer peer) implements Effect {}

        /** Its death would be noticed by time-outs only; said once until it is reached. */
        record Unwatched(Peer peer, String why) implements Effect {}

        /** It is reached after {@link Unwatched}. */
        record Watched(Peer peer) implements Effect {}
    }

    private enum State {
        CONNECTING,
        OPEN,
        RESTING
    }

    private static final class Line {
        final Peer peer;
        String host;
        long number;
        State state = State.RESTING;
        boolean wasOpen;
        boolean gone;
        boolean unwatched;
        int quickTries;

        Line(Peer peer) {
            this.peer = peer;
            host = peer.host();
        }
    }

    private final int maxLines;
    private final long retryNanos;
    private final Map<Peer, Line> lines = new HashMap<>();
    private final Map<Long, Line> byNumber = new HashMap<>();

    /** Those that there was no room for, the longest first. */
    private final Set<Peer> waiting = new LinkedHashSet<>();

    private long lastNumber;
    private long deaths;
    private long falseAlarms;

    /**
     * @param maxLines peers that are watched, at most
     * @param retryNanos between two attempts to reach a peer that cannot be reached
     */
    public Lifelines(int maxLines, long retryNanos) {
        this.maxLines = maxLines;
        this.retryNanos = retryNanos;
    }

    /** Figures for people. */
    public LifelineStatus status() {
        int open = 0;
        for (Line line : lines.values()) {
            open += line.state == State.OPEN ? 1 : 0;
        }
        return new LifelineStatus(lines.size() + waiting.size(), open, deaths, falseAlarms);
    }

    /** A member of the cluster is to be watched. */
    public List<Effect> watch(Peer peer) {
        List<Effect> effects = new ArrayList<>(1);
        if (lines.containsKey(peer) || waiting.contains(peer)) {
            return effects;
        }
        if (lines.size() >= maxLines) {
            waiting.add(peer);
            effects.add(new Effect.Unwatched(peer, maxLines + " lifelines are open already"));
            return effects;
        }
        Line line = new Line(peer);
        lines.put(peer, line);
        connect(effects, line);
        return effects;
    }

    /** There is room for another one. */
    private void watchNext(List<Effect> effects) {
        Iterator<Peer> next = waiting.iterator();
        if (next.hasNext()) {
            Line line = new Line(next.next());
            next.remove();
            line.unwatched = true;
            lines.put(line.peer, line);
            connect(effects, line);
        }
    }

    /** It is no member any more, or leaves in order: what becomes of its process means nothing. */
    public List<Effect> forget(Peer peer) {
        List<Effect> effects = new ArrayList<>(2);
        Line line = lines.remove(peer);
        if (line == null) {
            waiting.remove(peer);
            return effects;
        }
        close(effects, line);
        watchNext(effects);
        return effects;
    }

    /** Nobody is watched any more, and no connection is left; what was counted stays. */
    public List<Effect> forgetAll() {
        List<Effect> effects = new ArrayList<>(lines.size());
        waiting.clear();
        lines.values().forEach(line -> close(effects, line));
        lines.clear();
        return effects;
    }

    private void close(List<Effect> effects, Line line) {
        if (line.state != State.RESTING) {
            byNumber.remove(line.number);
            effects.add(new Effect.Close(line.number));
        }
    }

    /** A greeting came. */
    public List<Effect> onOpened(long number, long processId, String address) {
        List<Effect> effects = new ArrayList<>(2);
        Line line = byNumber.get(number);
        if (line == null) {
            effects.add(new Effect.Close(number));
            return effects;
        }
        if (processId != line.peer.processId()) {
            byNumber.remove(number);
            effects.add(new Effect.Close(number));
            if (line.wasOpen) {
                rest(effects, line, gone(effects, line, "another process answers in its place"));
            } else {
                unreached(effects, line, "another process answers there");
            }
            return effects;
        }
        line.state = State.OPEN;
        line.wasOpen = true;
        line.quickTries = 0;
        // The process that was reached is the one to ask, whatever its name means later.
        line.host = address;
        if (line.unwatched) {
            line.unwatched = false;
            effects.add(new Effect.Watched(line.peer));
        }
        if (line.gone) {
            line.gone = false;
            falseAlarms++;
            effects.add(new Effect.Back(line.peer));
        }
        return effects;
    }

    /** Nobody listens there. */
    public List<Effect> onRefused(long number) {
        List<Effect> effects = new ArrayList<>(2);
        Line line = byNumber.remove(number);
        if (line == null) {
            return effects;
        }
        if (line.wasOpen) {
            rest(effects, line, gone(effects, line, "connection refused"));
        } else {
            unreached(effects, line, "connection refused");
        }
        return effects;
    }

    /** No connection, and nobody knows whether somebody listens. */
    public List<Effect> onFailed(long number, String why) {
        List<Effect> effects = new ArrayList<>(2);
        Line line = byNumber.remove(number);
        if (line == null) {
            return effects;
        }
        if (line.wasOpen && line.quickTries < QUICK_TRIES) {
            rest(effects, line, FIRST_PAUSE_NANOS << line.quickTries++);
        } else {
            unreached(effects, line, why);
        }
        return effects;
    }

    /** An open connection has ended: whether its process has as well is asked at once. */
    public List<Effect> onClosed(long number) {
        List<Effect> effects = new ArrayList<>(1);
        Line line = byNumber.remove(number);
        if (line != null) {
            connect(effects, line);
        }
        return effects;
    }

    /** The time of {@link Effect.Later} has come. */
    public List<Effect> onDue(Peer peer) {
        List<Effect> effects = new ArrayList<>(1);
        Line line = lines.get(peer);
        if (line != null && line.state == State.RESTING) {
            connect(effects, line);
        }
        return effects;
    }

    private void connect(List<Effect> effects, Line line) {
        line.number = ++lastNumber;
        line.state = State.CONNECTING;
        byNumber.put(line.number, line);
        effects.add(new Effect.Connect(line.number, line.host, line.peer.port()));
    }

    private void rest(List<Effect> effects, Line line, long nanos) {
        line.state = State.RESTING;
        effects.add(new Effect.Later(line.peer, nanos));
    }

    /** Told once; answers when to look again, in case that it was no death. */
    private long gone(List<Effect> effects, Line line, String why) {
        if (!line.gone) {
            line.gone = true;
            deaths++;
            effects.add(new Effect.Gone(line.peer, why));
        }
        return retryNanos;
    }

    private void unreached(List<Effect> effects, Line line, String why) {
        if (!line.unwatched && !line.gone) {
            line.unwatched = true;
            effects.add(new Effect.Unwatched(line.peer, why));
        }
        rest(effects, line, retryNanos);
    }
}
