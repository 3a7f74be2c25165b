package io.tandem.lifeline;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.tandem.LifelineStatus;
import io.tandem.lifeline.Lifelines.Effect;
import java.util.List;
import org.junit.jupiter.api.Test;

/** What proves the death of a process, and what does not. */
class LifelinesTest {
    private static final long RETRY = 2_000_000_000;
    private static final Lifelines.Peer GPU = new Lifelines.Peer("gpu-host:7481", "gpu-host", 7483, 11);
    private static final Lifelines.Peer SUCCESSOR = new Lifelines.Peer("gpu-host:7481", "gpu-host", 7483, 12);

    private final Lifelines lines = new Lifelines(2, RETRY);

    private long open(Lifelines.Peer peer) {
        long line = connect(lines.watch(peer));
        assertEquals(List.of(), lines.onOpened(line, peer.processId(), "10.0.0.7"));
        return line;
    }

    private static long connect(List<Effect> effects) {
        return effects.getLast() instanceof Effect.Connect c ? c.line() : -1;
    }

    @Test
    void shouldCallAProcessDeadWhenItsConnectionClosesAndANewOneIsRefused() {
        long line = open(GPU);

        List<Effect> asked = lines.onClosed(line);
        assertEquals(List.of(new Effect.Connect(line + 1, "10.0.0.7", 7483)), asked, "asked where it was found");
        assertEquals(
                List.of(new Effect.Gone(GPU, "connection refused"), new Effect.Later(GPU, RETRY)),
                lines.onRefused(line + 1));
        assertEquals(new LifelineStatus(1, 0, 1, 0), lines.status());

        long again = connect(lines.onDue(GPU));
        assertEquals(List.of(new Effect.Later(GPU, RETRY)), lines.onRefused(again), "told once");
    }

    @Test
    void shouldAskAgainWhileADyingProcessStillAccepts() {
        long line = connect(lines.onClosed(open(GPU)));
        long waited = 0;
        for (int i = 0; i < 5; i++) {
            List<Effect> effects = lines.onFailed(line, "the connection ended without a greeting");
            waited += ((Effect.Later) effects.getLast()).nanos();
            assertEquals(1, effects.size(), "nothing is known yet");
            line = connect(lines.onDue(GPU));
        }
        assertTrue(waited < 50_000_000, waited + " ns");
        assertEquals(
                new Effect.Gone(GPU, "connection refused"),
                lines.onRefused(line).getFirst());
    }

    @Test
    void shouldNotCallAHungOrUnreachableProcessDead() {
        long line = connect(lines.onClosed(open(GPU)));
        int told = 0;
        for (int i = 0; i < 40; i++) {
            List<Effect> effects = lines.onFailed(line, "no answer within 1000 ms");
            told += (int)
                    effects.stream().filter(e -> e instanceof Effect.Unwatched).count();
            assertTrue(effects.stream().noneMatch(e -> e instanceof Effect.Gone), effects.toString());
            line = connect(lines.onDue(GPU));
        }
        assertEquals(1, told, "said once");
        assertEquals(List.of(new Effect.Watched(GPU)), lines.onOpened(line, GPU.processId(), "10.0.0.7"));
    }

    @Test
    void shouldNotCallAProcessDeadThatWasNeverReached() {
        long line = connect(lines.watch(GPU));
        assertEquals(
                List.of(new Effect.Unwatched(GPU, "connection refused"), new Effect.Later(GPU, RETRY)),
                lines.onRefused(line));
        line = connect(lines.onDue(GPU));
        assertEquals(
                List.of(new Effect.Close(line), new Effect.Later(GPU, RETRY)),
                lines.onOpened(line, 99, "10.0.0.7"),
                "somebody else's port");
        assertEquals(0, lines.status().deaths());
    }

    /** One lifeline more than there may be is missing only as long as all others are wanted. */
    @Test
    void shouldWatchWhomItHadNoRoomForOnceThereIs() {
        open(GPU);
        open(SUCCESSOR);
        Lifelines.Peer third = new Lifelines.Peer("third:1", "third", 7, 13);
        Lifelines.Peer fourth = new Lifelines.Peer("fourth:1", "fourth", 7, 14);
        assertEquals(List.of(new Effect.Unwatched(third, "2 lifelines are open already")), lines.watch(third));
        assertEquals(List.of(), lines.watch(third), "said once");
        assertEquals(1, lines.watch(fourth).size());
        assertEquals(new LifelineStatus(4, 2, 0, 0), lines.status());

        long line = connect(lines.forget(GPU));
        assertEquals(List.of(new Effect.Watched(third)), lines.onOpened(line, third.processId(), "10.0.0.8"));
        assertEquals(List.of(), lines.forget(fourth));
        assertEquals(1, lines.forget(SUCCESSOR).size(), "nobody waits any more");
        assertEquals(new LifelineStatus(1, 1, 0, 0), lines.status());
    }

    @Test
    void shouldBeginAnewWithoutAnyLineAndWithoutANumberTwice() {
        long line = open(GPU);
        lines.onRefused(connect(lines.watch(SUCCESSOR)));
        assertEquals(List.of(new Effect.Close(line)), lines.forgetAll());
        assertEquals(new LifelineStatus(0, 0, 0, 0), lines.status());
        assertEquals(List.of(), lines.onDue(SUCCESSOR));
        assertTrue(connect(lines.watch(GPU)) > line + 1);
        assertEquals(List.of(new Effect.Close(line)), lines.onOpened(line, GPU.processId(), "10.0.0.7"), "too late");
    }

    @Test
    void shouldTakeAConnectionThatMerelyBrokeForNothing() {
        long line = connect(lines.onClosed(open(GPU)));
        assertEquals(List.of(), lines.onOpened(line, GPU.processId(), "10.0.0.7"));
        assertEquals(new LifelineStatus(1, 1, 0, 0), lines.status());
    }

    @Test
    void shouldKnowASuccessorUnderTheSameAddressFromTheDead() {
        long line = connect(lines.onClosed(open(GPU)));
        List<Effect> effects = lines.onOpened(line, SUCCESSOR.processId(), "10.0.0.7");
        assertEquals(
                List.of(
                        new Effect.Close(line),
                        new Effect.Gone(GPU, "another process answers in its place"),
                        new Effect.Later(GPU, RETRY)),
                effects);

        lines.forget(GPU);
        long next = open(SUCCESSOR);
        assertEquals(List.of(), lines.onDue(GPU), "the dead one is asked after no more");
        assertEquals(List.of(), lines.onRefused(line), "and what was said of it hurts nobody");
        assertEquals(1, lines.status().open());
        assertTrue(next > line);
    }

    @Test
    void shouldTakeBackAFalseAlarm() {
        long line = connect(lines.onClosed(open(GPU)));
        lines.onRefused(line);
        long again = connect(lines.onDue(GPU));
        assertEquals(List.of(new Effect.Back(GPU)), lines.onOpened(again, GPU.processId(), "10.0.0.7"));
        assertEquals(new LifelineStatus(1, 1, 1, 1), lines.status());
    }

    @Test
    void shouldSayNothingOfWhoLeavesInOrder() {
        long line = open(GPU);
        assertEquals(List.of(new Effect.Close(line)), lines.forget(GPU));
        assertEquals(List.of(), lines.onClosed(line));
        assertEquals(List.of(), lines.forget(GPU));
        assertEquals(0, lines.status().watched());
    }

    @Test
    void shouldCloseAConnectionThatOpensAfterItWasGivenUp() {
        long line = connect(lines.watch(GPU));
        lines.forget(GPU);
        assertEquals(List.of(new Effect.Close(line)), lines.onOpened(line, GPU.processId(), "10.0.0.7"));
    }

    @Test
    void shouldWatchNoMoreThanItMay() {
        open(GPU);
        open(SUCCESSOR);
        Lifelines.Peer third = new Lifelines.Peer("other:1", "other", 1, 3);
        assertEquals(List.of(new Effect.Unwatched(third, "2 lifelines are open already")), lines.watch(third));
        assertEquals(List.of(), lines.watch(GPU), "watched already");
    }

    @Test
    void shouldReadFromRolesWhatItWroteThere() {
        LifelineRole role = new LifelineRole(65_535, -2);
        assertEquals(role, LifelineRole.of(java.util.Set.of("api", role.text())).orElseThrow());
        assertTrue(LifelineRole.isOne(role.text()));
        assertTrue(LifelineRole.of(java.util.Set.of("worker", "lifeline-x", "gpu-lifeline-1-0000000000000000"))
                .isEmpty());
    }
}
