package io.tandem.worker;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.tandem.engine.EngineCommand;
import io.tandem.engine.EngineRole;
import io.tandem.engine.SequenceSpec;
import io.tandem.request.RequestMessage;
import io.tandem.request.RequestTarget;
import io.tandem.sampling.SamplingParams;
import io.tandem.transfer.InMemoryNetwork;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.TreeMap;
import org.apache.pekko.actor.testkit.typed.javadsl.TestInbox;
import org.junit.jupiter.api.Test;

/**
 * Sequences that move while they decode and whose blocks lie in a device's memory, through windows and from device to device: each
 * token is that of a run that did not move, at whichever worker it was chosen, and all windows and blocks come back.
 */
class WindowMoveTest {
    private static final int PROMPT = 200;
    private static final int NEW_TOKENS = 300;
    private static final int KNOWN = 20;

    private final InMemoryNetwork network = new InMemoryNetwork();
    private final TestInbox<RequestMessage> hub = TestInbox.create();
    private final RequestTarget here = new RequestTarget(hub.getRef(), 1, 1);
    private final RequestTarget there = new RequestTarget(hub.getRef(), 1, 2);

    /** By index; a token that comes again must be the same. */
    private final TreeMap<Integer, Integer> tokens = new TreeMap<>();

    private final List<RequestMessage> seen = new ArrayList<>();

    private static int[] prompt() {
        int[] prompt = new int[PROMPT];
        Arrays.setAll(prompt, i -> 1 + i * 7 % 900);
        return prompt;
    }

    private static SequenceSpec spec(int[] tokens) {
        return new SequenceSpec(
                tokens, PROMPT, NEW_TOKENS, SamplingParams.greedy(), new int[0], 0, System.nanoTime() + (1L << 40));
    }

    private void dispatch(WindowedWorker worker, WorkerMessage.Kind kind, RequestTarget target, int[] known) {
        worker.book.dispatch(
                new WorkerMessage.Dispatch(kind, WindowedWorker.EPOCH, target, spec(known), 60_000), System.nanoTime());
    }

    private void turn(WindowedWorker... workers) {
        for (WindowedWorker worker : workers) {
            worker.run();
        }
        for (RequestMessage m : hub.getAllReceived()) {
            seen.add(m);
            if (m instanceof RequestMessage.Tokens t) {
                for (int i = 0; i < t.tokens().length; i++) {
                    Integer before = tokens.put(t.outputIndex()[i], t.tokens()[i]);
                    assertTrue(before == null || before == t.tokens()[i], "another token at " + t.outputIndex()[i]);
                }
            }
        }
    }

    private <T extends RequestMessage> T await(Class<T> type, WindowedWorker... workers) {
        for (int turn = 0; turn < 10_000; turn++) {
            for (RequestMessage m : seen) {
                if (type.isInstance(m)) {
                    seen.remove(m);
                    return type.cast(m);
                }
            }
            turn(workers);
        }
        throw new AssertionError("no " + type.getSimpleName() + " among " + seen);
    }

    private int[] known(int outputTokens) {
        int[] known = Arrays.copyOf(prompt(), PROMPT + outputTokens);
        for (int i = 0; i < outputTokens; i++) {
            known[PROMPT + i] = tokens.get(i);
        }
        return known;
    }

    private List<Integer> alone() {
        try (WindowedWorker one = new WindowedWorker(network, "alone", EngineRole.MIXED, 4)) {
            dispatch(one, WorkerMessage.Kind.GENERATE, here, prompt());
            await(RequestMessage.Ended.class, one);
            List<Integer> all = List.copyOf(tokens.values());
            assertEquals(NEW_TOKENS, all.size());
            tokens.clear();
            seen.clear();
            return all;
        }
    }

    /** Runs it at the first worker until the other one has made room, and has its blocks sent there. */
    private RequestMessage.MoveReserved startMove(WindowedWorker from, WindowedWorker to) {
        dispatch(from, WorkerMessage.Kind.GENERATE, here, prompt());
        while (tokens.size() < KNOWN) {
            turn(from);
        }
        dispatch(to, WorkerMessage.Kind.MIGRATE, there, known(KNOWN));
        RequestMessage.MoveReserved room = await(RequestMessage.MoveReserved.class, to);
        from.book.moveOut(
                new WorkerMessage.MoveOut(
                        here,
                        room.lease(),
                        room.tailLease(),
                        room.endpoint(),
                        room.cachedBlocks(),
                        room.wholeBlocks(),
                        room.tailBlocks()),
                System.nanoTime());
        return room;
    }

    /** As the owner does: tells the new worker the tokens it does not know, and has the old one forget when it has adopted. */
    private RequestMessage.KvAdopted finishMove(WindowedWorker from, WindowedWorker to) {
        RequestMessage.Paused paused = await(RequestMessage.Paused.class, from, to);
        assertTrue(paused.outputTokens() > KNOWN, "it did not decode while its blocks moved");
        int[] all = known(paused.outputTokens());
        to.book.adopt(new WorkerMessage.AdoptKv(there, Arrays.copyOfRange(all, PROMPT + KNOWN, all.length)));
        RequestMessage.KvAdopted adopted = await(RequestMessage.KvAdopted.class, from, to);
        from.book.cancel(here);
        await(RequestMessage.Ended.class, from);
        await(RequestMessage.Ended.class, from, to);
        return adopted;
    }

    private void settle(WindowedWorker... workers) {
        for (int i = 0; i < 500; i++) {
            turn(workers);
        }
    }

    private static void assertNothingHeld(WindowedWorker worker, int windows) {
        assertEquals(0, worker.engine.stats().usedBlocks());
        assertEquals(windows, worker.kv.free.size());
        assertTrue(worker.book.exportsBeingRead().isEmpty());
    }

    @Test
    void shouldGoOnElsewhereFromBlocksThatTravelledThroughFewWindows() {
        List<Integer> alone = alone();
        try (WindowedWorker from = new WindowedWorker(network, "from", EngineRole.MIXED, 2);
                WindowedWorker to = new WindowedWorker(network, "to", EngineRole.DECODE, 40)) {
            RequestMessage.MoveReserved room = startMove(from, to);
            RequestMessage.KvAdopted adopted = finishMove(from, to);
            assertFalse(adopted.stats().direct());
            assertTrue(adopted.stats().blocks() > room.wholeBlocks(), "the last blocks were not sent");
            assertEquals(alone, List.copyOf(tokens.values()));
            assertEquals(0, from.kv.fewest, "two windows were not enough to be all in use");
            settle(from, to);
            assertNothingHeld(from, 2);
            assertNothingHeld(to, 40);
        }
    }

    @Test
    void shouldGoOnElsewhereFromBlocksThatWentFromDeviceToDevice() {
        List<Integer> alone = alone();
        try (WindowedWorker from = new WindowedWorker(network, "from", EngineRole.MIXED, 4, true);
                WindowedWorker to = new WindowedWorker(network, "to", EngineRole.DECODE, 40, true)) {
            // The first question for a way opens it; what moves meanwhile takes the stream.
            startMove(from, to);
            finishMove(from, to);
            from.engine.apply(new EngineCommand.ClearPrefixCache(), 0);
            to.engine.apply(new EngineCommand.ClearPrefixCache(), 0);
            tokens.clear();
            seen.clear();
            from.kv.fewest = 4;
            to.kv.fewest = 40;
            startMove(from, to);
            assertTrue(finishMove(from, to).stats().direct());
            assertEquals(alone, List.copyOf(tokens.values()));
            assertEquals(44, from.kv.fewest + to.kv.fewest, "windows were used");
            settle(from, to);
            assertNothingHeld(from, 4);
            assertNothingHeld(to, 40);
        }
    }

    @Test
    void shouldStayWhenTheMoveIsCalledOffWhileBlocksAreCopied() {
        List<Integer> alone = alone();
        for (boolean direct : new boolean[] {false, true}) {
            tokens.clear();
            seen.clear();
            try (WindowedWorker from = new WindowedWorker(network, "from", EngineRole.MIXED, 3, direct);
                    WindowedWorker to = new WindowedWorker(network, "to", EngineRole.DECODE, 40, direct)) {
                startMove(from, to);
                while (from.book.exportsBeingRead().isEmpty()) {
                    turn(from);
                }
                from.book.keep(here);
                to.book.cancel(there);
                await(RequestMessage.MoveFailed.class, from, to);
                settle(from, to);
                assertEquals(alone, List.copyOf(tokens.values()));
                assertNothingHeld(from, 3);
                assertNothingHeld(to, 40);
            }
        }
    }

    @Test
    void shouldStayAndSaySoWhenTheOtherWorkerIsNotReached() {
        List<Integer> alone = alone();
        try (WindowedWorker from = new WindowedWorker(network, "from", EngineRole.MIXED, 4);
                WindowedWorker to = new WindowedWorker(network, "to", EngineRole.DECODE, 40)) {
            network.link("from", "to", InMemoryNetwork.Link.CUT);
            startMove(from, to);
            for (int i = 0; i < 4; i++) {
                turn(from);
                network.advanceNanos(2_000_000_000L);
            }
            RequestMessage.MoveFailed failed = await(RequestMessage.MoveFailed.class, from, to);
            assertTrue(failed.noWay(), failed.reason());
            to.book.cancel(there);
            await(RequestMessage.Ended.class, from, to);
            settle(from, to);
            assertEquals(alone, List.copyOf(tokens.values()));
            assertNothingHeld(from, 4);
        }
    }

    @Test
    void shouldStayWhenTheOtherWorkerHasTooFewWindows() {
        List<Integer> alone = alone();
        try (WindowedWorker from = new WindowedWorker(network, "from", EngineRole.MIXED, 40);
                WindowedWorker to = new WindowedWorker(network, "to", EngineRole.DECODE, 5)) {
            dispatch(from, WorkerMessage.Kind.GENERATE, here, prompt());
            while (tokens.size() < KNOWN) {
                turn(from);
            }
            dispatch(to, WorkerMessage.Kind.MIGRATE, there, known(KNOWN));
            RequestMessage.Refused refused = await(RequestMessage.Refused.class, from, to);
            assertTrue(refused.detail().contains("transfer-buffer-bytes"), refused.detail());
            await(RequestMessage.Ended.class, from, to);
            settle(from, to);
            assertEquals(alone, List.copyOf(tokens.values()));
            assertNothingHeld(to, 5);
        }
    }
}
