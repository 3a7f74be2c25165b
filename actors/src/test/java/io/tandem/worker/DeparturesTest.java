package io.tandem.worker;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.tandem.engine.EngineCommand;
import io.tandem.engine.EngineRole;
import io.tandem.request.RequestMessage;
import io.tandem.request.RequestTarget;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.Collectors;
import org.apache.pekko.actor.testkit.typed.javadsl.TestInbox;
import org.apache.pekko.actor.typed.ActorRef;
import org.junit.jupiter.api.Test;

class DeparturesTest {
    private static final long MILLI = 1_000_000;
    private static final int MOVES_MAX = 2;

    private final TestInbox<RequestMessage> hub = TestInbox.create();
    private final List<EngineCommand> told = new ArrayList<>();
    private boolean engineIsFull;
    private final WorkTable table = new WorkTable(new ConcurrentHashMap<>(), new NobodyWatches());
    private final Departures departures =
            new Departures("g", table, new OutgoingMoves("g", null, c -> {}), this::offer, MOVES_MAX);
    private long lastKey;

    private static final class NobodyWatches implements WorkBook.Watcher {
        @Override
        public void tellSelf(WorkEvent event) {}

        @Override
        public void watch(ActorRef<RequestMessage> hub) {}

        @Override
        public void unwatch(ActorRef<RequestMessage> hub) {}
    }

    private boolean offer(EngineCommand command) {
        if (!engineIsFull) {
            told.add(command);
        }
        return !engineIsFull;
    }

    private Work work(WorkerMessage.Kind kind) {
        long key = ++lastKey;
        Work work = new Work(key, new RequestTarget(hub.getRef(), key, 1), kind, false, 0, Long.MAX_VALUE);
        table.add(work);
        return work;
    }

    private Work decode() {
        Work work = work(WorkerMessage.Kind.GENERATE);
        work.publishedTokens = 1;
        return work;
    }

    /** Requests whose owners were asked since the last call. */
    private Set<Long> asked() {
        return hub.getAllReceived().stream()
                .map(m -> ((RequestMessage.MoveAway) m).requestId())
                .collect(Collectors.toCollection(TreeSet::new));
    }

    private List<EngineCommand> commands() {
        List<EngineCommand> since = List.copyOf(told);
        told.clear();
        return since;
    }

    @Test
    void shouldAskOfEveryDecodeAlthoughTheFirstFindNoPlace() {
        for (int i = 0; i < 7; i++) {
            decode();
        }
        departures.onRole(EngineRole.PREFILL, true, MILLI);
        Set<Long> askedOf = asked();
        assertEquals(MOVES_MAX, askedOf.size());
        departures.tick(400 * MILLI);
        assertEquals(Set.of(), asked(), "their owners have time to find a place");
        for (int round = 1; round <= 3; round++) {
            departures.tick((1 + 500L * round) * MILLI);
            askedOf.addAll(asked());
        }
        assertEquals(Set.of(1L, 2L, 3L, 4L, 5L, 6L, 7L), askedOf);
    }

    @Test
    void shouldNotAskOfWhatHasNothingToMoveYet() {
        Work prompt = work(WorkerMessage.Kind.GENERATE);
        Work coming = work(WorkerMessage.Kind.RESERVE);
        departures.onRole(EngineRole.PREFILL, true, MILLI);
        assertEquals(Set.of(), asked());
        prompt.publishedTokens = 1;
        coming.nextTokens = new int[] {5};
        departures.tick(2 * MILLI);
        assertEquals(Set.of(1L, 2L), asked());
    }

    @Test
    void shouldGiveBackPromptsThatComeAfterItDecodes() {
        Work before = work(WorkerMessage.Kind.PREFILL);
        engineIsFull = true;
        departures.onRole(EngineRole.DECODE, true, MILLI);
        engineIsFull = false;
        Work begun = work(WorkerMessage.Kind.PREFILL);
        begun.wholeBlocks = 1;
        Work whole = work(WorkerMessage.Kind.GENERATE);
        Work late = work(WorkerMessage.Kind.PREFILL);
        departures.tick(2 * MILLI);
        assertEquals(List.of(new EngineCommand.GiveBack(before.key), new EngineCommand.GiveBack(late.key)), commands());
        departures.onRole(EngineRole.MIXED, true, 3 * MILLI);
        departures.tick(4 * MILLI);
        assertEquals(List.of(), commands(), "it takes prompts again, as it takes " + whole.key + " all the while");
    }

    @Test
    void shouldKeepPromptsWhenNobodyElseTakesThem() {
        work(WorkerMessage.Kind.PREFILL);
        departures.onRole(EngineRole.DECODE, false, MILLI);
        departures.tick(2 * MILLI);
        assertEquals(List.of(), commands());
    }
}
