package io.tandem.worker;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.tandem.engine.EngineCommand;
import io.tandem.engine.EngineRole;
import io.tandem.engine.SequenceSpec;
import io.tandem.request.RequestMessage;
import io.tandem.request.RequestTarget;
import io.tandem.sampling.SamplingParams;
import io.tandem.transfer.InMemoryNetwork;
import io.tandem.transfer.TransferStats;
import java.util.ArrayList;
import java.util.List;
import org.apache.pekko.actor.testkit.typed.javadsl.TestInbox;
import org.junit.jupiter.api.Test;

/**
 * Blocks that travel through windows, as those of a device do: same tokens, every window back, and few windows suffice to send.
 * The same from device to device, where no window is touched.
 */
class WindowTransferTest {
    private static final int PROMPT = 300;
    private static final int NEW_TOKENS = 12;

    private final InMemoryNetwork network = new InMemoryNetwork();
    private final TestInbox<RequestMessage> hub = TestInbox.create();

    private RequestTarget target(int attempt) {
        return new RequestTarget(hub.getRef(), 1, attempt);
    }

    private static SequenceSpec spec() {
        int[] prompt = new int[PROMPT];
        for (int i = 0; i < PROMPT; i++) {
            prompt[i] = 1 + i % 900;
        }
        return new SequenceSpec(
                prompt, PROMPT, NEW_TOKENS, SamplingParams.greedy(), new int[0], 0, System.nanoTime() + (1L << 40));
    }

    private void dispatch(WindowedWorker worker, WorkerMessage.Kind kind, RequestTarget target) {
        worker.book.dispatch(
                new WorkerMessage.Dispatch(kind, WindowedWorker.EPOCH, target, spec(), 60_000), System.nanoTime());
    }

    private List<Integer> tokensOf(List<RequestMessage> messages) {
        List<Integer> tokens = new ArrayList<>();
        for (RequestMessage m : messages) {
            if (m instanceof RequestMessage.Tokens t) {
                for (int token : t.tokens()) {
                    tokens.add(token);
                }
            }
        }
        return tokens;
    }

    private <T> T await(Class<T> type, List<RequestMessage> seen, WindowedWorker... workers) {
        for (int turn = 0; turn < 10_000; turn++) {
            for (WindowedWorker worker : workers) {
                worker.run();
            }
            seen.addAll(hub.getAllReceived());
            for (RequestMessage m : seen) {
                if (type.isInstance(m)) {
                    return type.cast(m);
                }
            }
        }
        throw new AssertionError("no " + type.getSimpleName() + " among " + seen);
    }

    @Test
    void shouldGoOnFromBlocksThatTravelledThroughFewWindows() {
        List<RequestMessage> alone = new ArrayList<>();
        try (WindowedWorker one = new WindowedWorker(network, "one", EngineRole.MIXED, 4)) {
            dispatch(one, WorkerMessage.Kind.GENERATE, target(1));
            await(RequestMessage.Ended.class, alone, one);
        }
        List<RequestMessage> seen = new ArrayList<>();
        try (WindowedWorker prefill = new WindowedWorker(network, "prefill", EngineRole.PREFILL, 2);
                WindowedWorker decode = new WindowedWorker(network, "decode", EngineRole.DECODE, 40)) {
            RequestTarget target = target(2);
            dispatch(decode, WorkerMessage.Kind.RESERVE, target);
            dispatch(prefill, WorkerMessage.Kind.PREFILL, target);
            RequestMessage.KvReserved reserved = await(RequestMessage.KvReserved.class, seen, decode, prefill);
            prefill.book.push(new WorkerMessage.PushKv(
                    target, reserved.lease(), reserved.endpoint(), reserved.cachedBlocks(), reserved.totalBlocks()));
            await(RequestMessage.Tokens.class, seen, prefill, decode);
            int first = tokensOf(seen).getFirst();
            decode.book.adopt(new WorkerMessage.AdoptKv(target, new int[] {first}));
            await(RequestMessage.KvAdopted.class, seen, prefill, decode);
            seen.removeIf(m -> m instanceof RequestMessage.Ended);
            await(RequestMessage.Ended.class, seen, prefill, decode);
            assertEquals(tokensOf(alone), tokensOf(seen));
            assertEquals(0, prefill.kv.fewest, "two windows were not enough to be all in use");
            assertEquals(2, prefill.kv.free.size());
            assertEquals(40, decode.kv.free.size());
        }
    }

    @Test
    void shouldSendBlocksALayerGroupAtATimeWhileTheyAreComputed() {
        List<RequestMessage> whole = new ArrayList<>();
        List<RequestMessage> byGroups = new ArrayList<>();
        try (WindowedWorker prefill = new WindowedWorker(network, "p", EngineRole.PREFILL, 40);
                WindowedWorker decode = new WindowedWorker(network, "d", EngineRole.DECODE, 40)) {
            split(prefill, decode, target(1), whole);
        }
        for (int windows : new int[] {40, 3}) {
            byGroups.clear();
            try (WindowedWorker prefill = new WindowedWorker(network, "prefill", EngineRole.PREFILL, windows);
                    WindowedWorker decode = new WindowedWorker(network, "decode", EngineRole.DECODE, 40)) {
                prefill.kv.groups = 3;
                TransferStats stats = split(prefill, decode, target(2), byGroups);
                assertEquals(19, stats.blocks());
                assertEquals(tokensOf(whole), tokensOf(byGroups));
                assertTrue(prefill.kv.groupsFilled > 0, "every block waited until its pass was over");
                assertEquals(windows, prefill.kv.free.size());
                assertEquals(40, decode.kv.free.size());
            }
        }
    }

    /** Moves a prompt's blocks and runs it to its end; how they went. */
    private TransferStats split(
            WindowedWorker prefill, WindowedWorker decode, RequestTarget target, List<RequestMessage> seen) {
        dispatch(decode, WorkerMessage.Kind.RESERVE, target);
        dispatch(prefill, WorkerMessage.Kind.PREFILL, target);
        RequestMessage.KvReserved reserved = await(RequestMessage.KvReserved.class, seen, decode, prefill);
        prefill.book.push(new WorkerMessage.PushKv(
                target, reserved.lease(), reserved.endpoint(), reserved.cachedBlocks(), reserved.totalBlocks()));
        await(RequestMessage.Tokens.class, seen, prefill, decode);
        decode.book.adopt(
                new WorkerMessage.AdoptKv(target, new int[] {tokensOf(seen).getFirst()}));
        TransferStats stats =
                await(RequestMessage.KvAdopted.class, seen, prefill, decode).stats();
        seen.removeIf(m -> m instanceof RequestMessage.Ended);
        await(RequestMessage.Ended.class, seen, prefill, decode);
        return stats;
    }

    @Test
    void shouldGoOnFromBlocksThatWentFromDeviceToDevice() {
        try (WindowedWorker prefill = new WindowedWorker(network, "prefill", EngineRole.PREFILL, 4, true);
                WindowedWorker decode = new WindowedWorker(network, "decode", EngineRole.DECODE, 40, true)) {
            List<RequestMessage> streamed = new ArrayList<>();
            assertFalse(split(prefill, decode, target(1), streamed).direct(), "nobody knew the way yet");
            prefill.engine.apply(new EngineCommand.ClearPrefixCache(), 0);
            decode.engine.apply(new EngineCommand.ClearPrefixCache(), 0);
            prefill.kv.fewest = 4;
            decode.kv.fewest = 40;
            List<RequestMessage> fetched = new ArrayList<>();
            TransferStats stats = split(prefill, decode, target(2), fetched);
            assertTrue(stats.direct());
            assertEquals(19, stats.blocks());
            assertEquals(tokensOf(streamed), tokensOf(fetched));
            assertEquals(44, prefill.kv.fewest + decode.kv.fewest, "windows were used");
            assertEquals(0, prefill.engine.stats().usedBlocks());
        }
    }

    @Test
    void shouldGiveEverythingBackWhenACopyBetweenDevicesIsCancelled() {
        try (WindowedWorker prefill = new WindowedWorker(network, "prefill", EngineRole.PREFILL, 4, true);
                WindowedWorker decode = new WindowedWorker(network, "decode", EngineRole.DECODE, 40, true)) {
            split(prefill, decode, target(1), new ArrayList<>());
            prefill.engine.apply(new EngineCommand.ClearPrefixCache(), 0);
            decode.engine.apply(new EngineCommand.ClearPrefixCache(), 0);
            RequestTarget target = target(2);
            dispatch(decode, WorkerMessage.Kind.RESERVE, target);
            dispatch(prefill, WorkerMessage.Kind.PREFILL, target);
            List<RequestMessage> seen = new ArrayList<>();
            RequestMessage.KvReserved reserved = await(RequestMessage.KvReserved.class, seen, decode, prefill);
            prefill.book.push(new WorkerMessage.PushKv(
                    target, reserved.lease(), reserved.endpoint(), reserved.cachedBlocks(), reserved.totalBlocks()));
            while (decode.kv.copies.isEmpty()) {
                prefill.run();
                decode.transport.deliver();
            }
            decode.book.cancel(target);
            prefill.book.cancel(target);
            for (int i = 0; i < 500; i++) {
                prefill.run();
                decode.run();
            }
            assertEquals(0, prefill.engine.stats().usedBlocks());
            assertEquals(0, decode.engine.stats().usedBlocks());
            assertEquals(4, prefill.kv.free.size());
            assertEquals(40, decode.kv.free.size());
        }
    }

    @Test
    void shouldRefuseWhenTheWindowsDoNotDoAndHoldNothing() {
        List<RequestMessage> seen = new ArrayList<>();
        try (WindowedWorker decode = new WindowedWorker(network, "decode", EngineRole.DECODE, 5)) {
            dispatch(decode, WorkerMessage.Kind.RESERVE, target(1));
            RequestMessage.Refused refused = await(RequestMessage.Refused.class, seen, decode);
            assertTrue(refused.detail().contains("transfer-buffer-bytes"), refused.detail());
            for (int i = 0; i < 50; i++) {
                decode.run();
            }
            assertEquals(5, decode.kv.free.size());
            assertEquals(0, decode.engine.stats().usedBlocks());
        }
    }

    @Test
    void shouldGiveWindowsAndBlocksBackWhenATransferIsCancelled() {
        List<RequestMessage> seen = new ArrayList<>();
        try (WindowedWorker prefill = new WindowedWorker(network, "prefill", EngineRole.PREFILL, 3);
                WindowedWorker decode = new WindowedWorker(network, "decode", EngineRole.DECODE, 40)) {
            RequestTarget target = target(1);
            dispatch(decode, WorkerMessage.Kind.RESERVE, target);
            dispatch(prefill, WorkerMessage.Kind.PREFILL, target);
            RequestMessage.KvReserved reserved = await(RequestMessage.KvReserved.class, seen, decode, prefill);
            prefill.book.push(new WorkerMessage.PushKv(
                    target, reserved.lease(), reserved.endpoint(), reserved.cachedBlocks(), reserved.totalBlocks()));
            prefill.run();
            prefill.run();
            assertTrue(prefill.kv.free.size() < 3, "nothing is under way");
            prefill.book.cancel(target);
            decode.book.cancel(target);
            for (int i = 0; i < 500; i++) {
                prefill.run();
                decode.run();
            }
            assertEquals(3, prefill.kv.free.size());
            assertEquals(40, decode.kv.free.size());
            assertEquals(0, prefill.engine.stats().usedBlocks());
            assertEquals(0, decode.engine.stats().usedBlocks());
            assertInstanceOf(RequestMessage.Ended.class, await(RequestMessage.Ended.class, seen, prefill, decode));
        }
    }
}
