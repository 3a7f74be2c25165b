package io.tandem.worker;

import io.tandem.kvcache.BlockEvents;
import io.tandem.kvcache.FindableBlocks;
import io.tandem.routing.BlockFeedMessage.Events;
import io.tandem.routing.BlockFeedMessage.Snapshot;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import org.agrona.collections.Long2LongHashMap;

/**
 * The numbered block events of one incarnation of a worker: collects changes, makes an event of them, and keeps the latest
 * ones for routers that missed some. Plain state, single-threaded.
 */
public final class BlockEventLog {
    /** Of one message; far below the frame limit of the control messages. */
    public static final int MESSAGE_WORDS = 32_768;

    private static final int ALL_IN_ONE = 1;

    private final String gpuId;
    private final long epoch;
    private final int keptWords;
    private final int messageWords;
    private final ArrayDeque<Events> kept = new ArrayDeque<>();
    private long[] pending = new long[256];
    private int pendingWords;
    private int words;
    private long lastId;

    /**
     * @param keptWords of events that can be sent again, at most
     * @param messageWords of one message, about
     */
    public BlockEventLog(String gpuId, long epoch, int keptWords, int messageWords) {
        this.gpuId = gpuId;
        this.epoch = epoch;
        this.keptWords = keptWords;
        this.messageWords = messageWords;
    }

    /** Number of the latest event. */
    public long lastId() {
        return lastId;
    }

    /** Adds changes; answers whether there are enough for a message. */
    boolean append(long[] changes) {
        if (pendingWords + changes.length > pending.length) {
            pending = Arrays.copyOf(pending, Math.max(2 * pending.length, pendingWords + changes.length));
        }
        System.arraycopy(changes, 0, pending, pendingWords, changes.length);
        pendingWords += changes.length;
        return pendingWords >= messageWords;
    }

    /** The next event, if anything changed. */
    Optional<Events> next() {
        if (pendingWords == 0) {
            return Optional.empty();
        }
        Events events = new Events(gpuId, epoch, ++lastId, Arrays.copyOf(pending, pendingWords));
        pendingWords = 0;
        kept.addLast(events);
        words += events.words().length;
        while (words > keptWords) {
            words -= kept.removeFirst().words().length;
        }
        return Optional.of(events);
    }

    /** The events from a number on; empty when they are not kept any more, or were never there. */
    Optional<List<Events>> since(long fromId) {
        if (fromId < 1 || fromId > lastId + 1 || fromId <= lastId - kept.size()) {
            return Optional.empty();
        }
        return Optional.of(kept.stream().filter(e -> e.id() >= fromId).toList());
    }

    /**
     * All that the cache held after the latest event, in messages: chains from their start, so that the index at the other
     * end grows runs and not single blocks.
     */
    List<Snapshot> snapshot(FindableBlocks blocks) {
        List<long[]> parts = new ArrayList<>();
        BlockEvents writer = new BlockEvents(messageWords, (array, length) -> parts.add(Arrays.copyOf(array, length)));
        write(blocks, writer);
        writer.flush();
        if (parts.isEmpty()) {
            return List.of(new Snapshot(gpuId, epoch, lastId, 0, ALL_IN_ONE, new long[0]));
        }
        List<Snapshot> messages = new ArrayList<>(parts.size());
        for (long[] part : parts) {
            messages.add(new Snapshot(gpuId, epoch, lastId, messages.size(), parts.size(), part));
        }
        return messages;
    }

    private static void write(FindableBlocks blocks, BlockEvents writer) {
        long[] keys = blocks.keys();
        int count = keys.length;
        long[] byPosition = new long[count];
        Long2LongHashMap childOf = new Long2LongHashMap(2 * count + 16, 0.55f, -1);
        for (int i = 0; i < count; i++) {
            byPosition[i] = (long) blocks.positions()[i] << 32 | i;
            if (blocks.positions()[i] > 0) {
                childOf.put(blocks.parents()[i], i);
            }
        }
        Arrays.sort(byPosition);
        boolean[] written = new boolean[count];
        for (long entry : byPosition) {
            int block = (int) entry;
            while (block >= 0 && !written[block]) {
                written[block] = true;
                int position = blocks.positions()[block];
                writer.stored(position == 0 ? 0 : blocks.parents()[block], position, keys[block]);
                int child = (int) childOf.get(keys[block]);
                block = child >= 0 && blocks.positions()[child] == position + 1 ? child : -1;
            }
        }
    }
}
