package io.tandem.routing;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.tandem.kvcache.BlockEvents;
import io.tandem.routing.BlockFeed.Fetch;
import io.tandem.routing.BlockFeedMessage.Events;
import io.tandem.routing.BlockFeedMessage.Snapshot;
import io.tandem.worker.TestWorker;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

/** The cursor's rules, one by one. */
class BlockFeedTest {
    private static final long RETRY = 100;
    private static final PromptKeys CHAIN = new PromptKeys(16, new long[] {11, 12, 13, 14});

    private final PrefixIndex index = new PrefixIndex(2, 100);
    private final BlockFeed feed = new BlockFeed(index, RETRY);

    private static WorkerDirectory.Entry worker(String gpu, long epoch, long lastEvent, boolean live) {
        return TestWorker.named(gpu)
                .epoch(epoch)
                .facts(new WorkerFacts(1, 1, 1, 1, lastEvent, StepTimes.NOTHING, 0))
                .entry(live);
    }

    /** Stores the first blocks of the chain from a position on. */
    private static long[] stored(int from, int to) {
        List<long[]> out = new ArrayList<>();
        BlockEvents events = new BlockEvents(64, (words, length) -> out.add(Arrays.copyOf(words, length)));
        for (int i = from; i < to; i++) {
            events.stored(i == 0 ? 0 : CHAIN.hashes()[i - 1], i, CHAIN.hashes()[i]);
        }
        events.flush();
        return out.isEmpty() ? new long[0] : out.getFirst();
    }

    private Optional<Fetch> event(long epoch, long id, int from, int to, long now) {
        return feed.onEvents(new Events("g", epoch, id, stored(from, to)), now);
    }

    private int depth(long epoch) {
        return feed.find(CHAIN).of("g", epoch);
    }

    private void begin(long epoch, long lastId, int blocks) {
        assertEquals(List.of(new Fetch("g", epoch, 0)), feed.onWorkers(List.of(worker("g", epoch, lastId, true)), 0));
        feed.onSnapshot(new Snapshot("g", epoch, lastId, 0, 1, stored(0, blocks)), 0);
        assertTrue(feed.isLoaded("g", epoch));
    }

    @Test
    void shouldAskANewWorkerForEverythingAndAgainWhenItDoesNotAnswer() {
        List<WorkerDirectory.Entry> one = List.of(worker("g", 7, 3, true));
        assertEquals(List.of(new Fetch("g", 7, 0)), feed.onWorkers(one, 0));
        assertFalse(feed.isLoaded("g", 7));
        assertEquals(List.of(), feed.onWorkers(one, RETRY - 1));
        assertEquals(List.of(new Fetch("g", 7, 0)), feed.onWorkers(one, RETRY));
    }

    @Test
    void shouldTakeEventsInOrderOnceAndAskForTheGap() {
        begin(1, 5, 1);
        assertEquals(1, depth(1));
        assertEquals(Optional.empty(), event(1, 6, 1, 2, 1));
        assertEquals(2, depth(1));
        assertEquals(Optional.empty(), event(1, 6, 1, 2, 1), "stale");
        assertEquals(Optional.of(new Fetch("g", 1, 7)), event(1, 8, 3, 4, 2));
        assertEquals(Optional.empty(), event(1, 9, 3, 4, 3), "asked already");
        assertEquals(2, depth(1), "nothing is taken out of order");
        event(1, 7, 2, 3, 4);
        event(1, 8, 3, 4, 4);
        assertEquals(4, depth(1));
        assertEquals(1, feed.counts().gaps());
        assertEquals(1, feed.counts().duplicates());
    }

    @Test
    void shouldFollowAnIncarnationWhoseClockIsBehindThatOfTheOneBefore() {
        begin(1_000, 5, 2);
        List<WorkerDirectory.Entry> back = List.of(worker("g", 7, 1, true));
        assertEquals(List.of(new Fetch("g", 7, 0)), feed.onWorkers(back, 1));
        assertEquals(0, depth(7), "what the one before held is forgotten");
        feed.onSnapshot(new Snapshot("g", 7, 1, 0, 1, stored(0, 1)), 2);
        assertEquals(1, depth(7));
        assertEquals(Optional.empty(), event(1_000, 6, 2, 3, 3), "of the one before");
        assertEquals(1, depth(7));
    }

    @Test
    void shouldNoticeALostLastEventByTheReport() {
        begin(1, 5, 1);
        List<WorkerDirectory.Entry> ahead = List.of(worker("g", 1, 6, true));
        assertEquals(List.of(), feed.onWorkers(ahead, 10), "it may be on its way");
        assertEquals(List.of(), feed.onWorkers(ahead, 10 + RETRY - 1));
        assertEquals(List.of(new Fetch("g", 1, 6)), feed.onWorkers(ahead, 10 + RETRY));
        event(1, 6, 1, 2, 111);
        assertEquals(List.of(), feed.onWorkers(ahead, 10 * RETRY));
        assertEquals(2, depth(1));
    }

    @Test
    void shouldWaitForAllPartsOfASnapshot() {
        feed.onWorkers(List.of(worker("g", 1, 9, true)), 0);
        feed.onSnapshot(new Snapshot("g", 1, 9, 0, 3, stored(0, 1)), 1);
        assertFalse(feed.isLoaded("g", 1));
        feed.onSnapshot(new Snapshot("g", 1, 9, 2, 3, stored(2, 3)), 1);
        assertFalse(feed.isLoaded("g", 1), "the second part is missing");
        assertEquals(List.of(new Fetch("g", 1, 0)), feed.onWorkers(List.of(worker("g", 1, 9, true)), RETRY));
        for (int part = 0; part < 3; part++) {
            feed.onSnapshot(new Snapshot("g", 1, 9, part, 3, stored(part, part + 1)), RETRY + 1);
        }
        assertTrue(feed.isLoaded("g", 1));
        assertEquals(3, depth(1));
    }

    @Test
    void shouldAskForWhatCameWhileASnapshotWasOnItsWay() {
        feed.onWorkers(List.of(worker("g", 1, 2, true)), 0);
        assertEquals(Optional.empty(), event(1, 3, 1, 2, 1), "not yet");
        assertEquals(
                Optional.of(new Fetch("g", 1, 3)), feed.onSnapshot(new Snapshot("g", 1, 2, 0, 1, stored(0, 1)), 2));
    }

    @Test
    void shouldForgetALostWorkerAndAnEarlierIncarnation() {
        begin(1, 5, 3);
        feed.onWorkers(List.of(worker("g", 1, 5, false)), 1);
        assertEquals(0, index.held(0));
        assertEquals(0, depth(1));
        begin(1, 5, 3);
        assertEquals(3, depth(1));
        assertEquals(List.of(new Fetch("g", 2, 0)), feed.onWorkers(List.of(worker("g", 2, 0, true)), 2));
        assertEquals(0, index.held(0), "a new incarnation holds nothing yet");
        event(1, 6, 3, 4, 3);
        feed.onSnapshot(new Snapshot("g", 1, 9, 0, 1, stored(0, 4)), 3);
        assertEquals(0, index.held(0), "the dead say nothing");
    }

    @Test
    void shouldDistrustAWorkerThatTalksNonsense() {
        begin(1, 5, 2);
        assertEquals(Optional.of(new Fetch("g", 1, 0)), feed.onEvents(new Events("g", 1, 6, new long[] {5, 5, 5}), 1));
        assertEquals(0, depth(1));
        assertFalse(feed.isLoaded("g", 1));
        assertEquals(1, feed.counts().refused());
    }

    @Test
    void shouldGoWithoutWorkersBeyondItsLimit() {
        feed.onWorkers(List.of(worker("a", 1, 0, true), worker("b", 1, 0, true), worker("c", 1, 0, true)), 0);
        long known = List.of("a", "b", "c").stream()
                .filter(g -> feed.onSnapshot(new Snapshot(g, 1, 0, 0, 1, new long[0]), 1)
                                .isEmpty()
                        && feed.isLoaded(g, 1))
                .count();
        assertEquals(2, known);
    }

    @Test
    void shouldExpectWhatWasSentForAWhile() {
        ExpectedBlocks expected = new ExpectedBlocks(4, 100, 10);
        PromptKeys sibling = new PromptKeys(16, new long[] {11, 12, 99});
        expected.find(CHAIN, 0);
        assertEquals(0, expected.depth("g", 1));
        expected.sent("g", 1, CHAIN, 0);
        expected.find(sibling, 5);
        assertEquals(2, expected.depth("g", 1));
        assertEquals(0, expected.depth("g", 2), "another incarnation");
        expected.find(sibling, 15);
        assertEquals(2, expected.depth("g", 1), "at least one time to live");
        expected.find(sibling, 31);
        assertEquals(0, expected.depth("g", 1), "at most two");
    }
}
