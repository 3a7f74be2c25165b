package io.tandem.simulation.fault;

import io.tandem.admission.ServiceClass;
import io.tandem.engine.FinishReason;
import io.tandem.engine.SequenceSpec;
import io.tandem.request.RequestEffect;
import io.tandem.request.RequestFigures;
import io.tandem.request.RequestLifecycle;
import io.tandem.request.RequestMessage;
import io.tandem.request.RequestTarget;
import io.tandem.routing.Route;
import java.util.List;
import java.util.Optional;

/** One request: the real life cycle, its effects carried out, and what it must never do watched. */
final class SimulatedRequest {
    private static final long RETRY_NANOS = 100_000_000;
    private static final long ASK_NANOS = 1_000_000_000;
    private static final int MAX_ATTEMPTS = 16;

    private final long id;
    private final ApiNode node;
    private final SequenceSpec spec;
    private final long deadlineNanos;
    private final SimulatedModel.Answer expected;
    private final RequestLifecycle life;
    private long handedOn;
    private int attempts;
    private Optional<Route> first = Optional.empty();
    private boolean promptPending;
    private int emitted;
    private int moves;
    private long lastTokenNanos;
    private long longestGapNanos;
    private boolean cancelled;
    private boolean atDoor;
    private boolean terminal;
    private String end = "";

    SimulatedRequest(long id, ApiNode node, SequenceSpec spec, long timeoutMillis) {
        this.id = id;
        this.node = node;
        this.spec = spec;
        expected = SimulatedModel.plainRun(spec);
        deadlineNanos = node.world.time.nowNanos() + timeoutMillis * 1_000_000;
        life = new RequestLifecycle(spec, MAX_ATTEMPTS);
    }

    SequenceSpec spec() {
        return spec;
    }

    long id() {
        return id;
    }

    boolean terminal() {
        return terminal;
    }

    String end() {
        return end;
    }

    /** Times it went on decoding elsewhere without a gap. */
    int moves() {
        return moves;
    }

    int emitted() {
        return emitted;
    }

    long longestGapNanos() {
        return longestGapNanos;
    }

    RequestFigures figures() {
        return life.figures();
    }

    /**
     * Comes to its node's door.
     *
     * @param handedOnNanos from the door to its first dispatch
     */
    void arrive(ServiceClass serviceClass, long handedOnNanos) {
        atDoor = true;
        handedOn = handedOnNanos;
        node.arrive(this, serviceClass, deadlineNanos - node.world.time.nowNanos());
    }

    boolean isAtDoorOf(ApiNode api) {
        return atDoor && node == api;
    }

    /** The door lets it in, with a route that was booked. */
    void dispatched(Optional<Route> booked) {
        check(atDoor, "let in twice");
        atDoor = false;
        first = booked;
        node.after(Math.max(1, deadlineNanos - node.world.time.nowNanos()), () -> run(life.onDeadline()));
        node.after(handedOn, this::begin);
    }

    /** The door lets it out another way. */
    void endsAtDoor(String how) {
        check(atDoor, "ends at the door and is not there: " + how);
        check(!how.equals("CANCELLED") || cancelled, "cancelled by nobody");
        check(!how.equals("DEADLINE") || node.world.time.nowNanos() >= deadlineNanos, "expired before its deadline");
        atDoor = false;
        terminal = true;
        end = how;
        node.world.log(() -> this + " ends at the door: " + how);
    }

    /** After a look at the queue. */
    void mustNotBeLateAtDoor() {
        check(node.world.time.nowNanos() < deadlineNanos, "waits past its deadline");
    }

    void mustBeOver(String why) {
        check(terminal, "goes on although " + why);
    }

    private void begin() {
        if (!terminal) {
            route();
            node.after(ASK_NANOS, this::ask);
        }
    }

    private void ask() {
        if (!terminal) {
            run(life.onQuiet(node::live));
            node.after(ASK_NANOS, this::ask);
        }
    }

    void onHeld(String gpuId, int attempt) {
        run(life.onHeld(gpuId, attempt));
    }

    private void route() {
        if (terminal) {
            return;
        }
        attempts++;
        promptPending = true;
        Optional<Route> route =
                attempts == 1 && first.isPresent() ? first : node.route(this, life.tokensToCompute(), life.avoid());
        RequestTarget target = new RequestTarget(node.ref(), id, attempts);
        run(route.isPresent() ? life.onRoute(route.get(), target, timeLeftMillis()) : life.onNoRoute("no worker"));
    }

    private long timeLeftMillis() {
        return Math.max(1, (deadlineNanos - node.world.time.nowNanos()) / 1_000_000);
    }

    private void findMove(RequestEffect.FindMove e) {
        attempts++;
        RequestTarget target = new RequestTarget(node.ref(), id, attempts);
        Optional<Route> there = node.moveTarget(e.fromGpu(), e.contextTokens(), e.tokensMax());
        run(life.onMoveRoute(there, target, timeLeftMillis()));
    }

    void onToken(RequestMessage.Tokens m, int i) {
        run(life.onToken(m.attempts()[i], m.gpuId(), m.tokens()[i], m.outputIndex()[i], Float.NaN, null, null));
    }

    void on(RequestMessage.OfRequest message) {
        run(life.on(message));
    }

    void onWorkerLost(String gpuId, long epoch, String why) {
        run(life.onWorkerLost(gpuId, epoch, why));
    }

    /** Its client leaves. */
    void leave() {
        cancelled = true;
        node.cancel(this);
    }

    void cancel() {
        run(life.onCancel());
    }

    /** Its node dies, and it with it; nobody is told. */
    void endWithItsNode() {
        atDoor = false;
        end = "node";
        terminal = true;
    }

    private void run(List<RequestEffect> effects) {
        for (RequestEffect effect : effects) {
            switch (effect) {
                case RequestEffect.Tell e -> node.tellWorker(e.gpuId(), e.message());
                case RequestEffect.Count e -> node.countInFlight(e.gpuId(), e.change());
                case RequestEffect.Emit e -> emit(e);
                case RequestEffect.RetryLater ignored -> {
                    node.attemptOver(id);
                    node.after(attempts == 1 ? 1_000_000 : RETRY_NANOS, this::route);
                }
                case RequestEffect.Reroute ignored -> {
                    node.attemptOver(id);
                    node.after(1_000_000, this::route);
                }
                case RequestEffect.Parted e -> node.parted(e.route());
                case RequestEffect.FindMove e -> findMove(e);
                case RequestEffect.Moved e -> {
                    moves++;
                    node.moved(id, e.decodeGpu());
                }
                case RequestEffect.Finish e -> finish(e.reason());
                case RequestEffect.Fail e -> fail(e);
            }
        }
    }

    private void emit(RequestEffect.Emit e) {
        check(!terminal, "a token after the end");
        check(e.index() == emitted, "token " + e.index() + " after " + emitted + " tokens");
        check(
                emitted < expected.tokens().length && e.token() == expected.tokens()[emitted],
                "token " + emitted + " is " + e.token() + ", in the plain run "
                        + (emitted < expected.tokens().length ? "" + expected.tokens()[emitted] : "there is none"));
        if (promptPending) {
            promptPending = false;
            node.promptComputed(id);
            node.firstToken();
        }
        long now = node.world.time.nowNanos();
        longestGapNanos = emitted == 0 ? 0 : Math.max(longestGapNanos, now - lastTokenNanos);
        lastTokenNanos = now;
        emitted++;
    }

    private void finish(FinishReason reason) {
        if (reason != FinishReason.CANCELLED && spec.maxNewTokens() > 1) {
            node.outputEnded(emitted);
        }
        terminate(reason.toString());
        check(
                reason == FinishReason.CANCELLED
                        ? cancelled
                        : reason == expected.reason() && emitted == expected.tokens().length,
                "finished with " + reason + " after " + emitted + " tokens, the plain run with " + expected.reason()
                        + " after " + expected.tokens().length);
    }

    private void fail(RequestEffect.Fail e) {
        terminate(e.kind().toString());
        boolean permitted = switch (e.kind()) {
            case DEADLINE -> node.world.time.nowNanos() >= deadlineNanos - 2_000_000;
            case UNAVAILABLE -> emitted == 0 && !node.hasCandidates();
            case OVERLOADED -> emitted == 0;
            default -> false;
        };
        check(permitted, "failed with " + e.kind() + " after " + emitted + " tokens: " + e.message());
    }

    private void terminate(String how) {
        check(!terminal, "ends twice: " + end + ", then " + how);
        check(
                node.world.time.nowNanos() <= deadlineNanos + 1_000_000_000 || node.wasHung(),
                "ended long after its deadline");
        terminal = true;
        end = how;
        node.world.log(() -> this + " ends: " + how);
        node.attemptOver(id);
        node.over(this, emitted, how.equals("STOP") || how.equals("LENGTH"));
    }

    private void check(boolean holds, String what) {
        if (!holds) {
            throw new IllegalStateException(this + ": " + what);
        }
    }

    @Override
    public String toString() {
        return "request " + id + " of " + node.name() + " (" + spec.promptTokens() + " + " + spec.maxNewTokens()
                + " tokens, " + life.phase() + ", attempt " + attempts + ", " + emitted + " out)";
    }
}
