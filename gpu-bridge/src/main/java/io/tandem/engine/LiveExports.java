package io.tandem.engine;

import io.tandem.engine.EngineListener.RefusalReason;
import io.tandem.kvcache.BlockPool;
import io.tandem.scheduling.Scheduler;
import io.tandem.scheduling.Sequence;
import io.tandem.scheduling.Sequence.Phase;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;

/**
 * Sequences that leave while they decode. Each export holds references of its own to the blocks that a transfer reads, so a
 * sequence may end or be preempted and its blocks still keep their content until the transfer is over. A pause is told once
 * no pass under way has a row of the sequence.
 */
final class LiveExports {
    private final BlockPool pool;
    private final Scheduler scheduler;
    private final int blockTokens;
    private final EngineListener listener;
    private final Map<Long, int[]> pinned = new HashMap<>();

    /** Export by sequence that is to pause when its pass is over. */
    private final Map<Sequence, Long> pausing = new HashMap<>();

    LiveExports(BlockPool pool, Scheduler scheduler, int blockTokens, EngineListener listener) {
        this.pool = pool;
        this.scheduler = scheduler;
        this.blockTokens = blockTokens;
        this.listener = listener;
    }

    boolean isPinned(long exportKey) {
        return pinned.containsKey(exportKey);
    }

    void begin(long exportKey, Sequence s) {
        if (!decodes(s) || pinned.containsKey(exportKey)) {
            refuse(exportKey);
            return;
        }
        pin(exportKey, s, s.written / blockTokens);
        listener.onExported(exportKey, pinned.get(exportKey).clone());
    }

    void pause(long exportKey, Sequence s) {
        if (!decodes(s) || !pinned.containsKey(exportKey)) {
            refuse(exportKey);
            return;
        }
        scheduler.pause(s);
        pausing.put(s, exportKey);
        onPassOver(s);
    }

    private static boolean decodes(Sequence s) {
        return s != null && s.phase == Phase.RUNNING && s.isDecoding();
    }

    private void refuse(long exportKey) {
        listener.onRefused(exportKey, RefusalReason.BAD_KEY, "the sequence does not decode here");
    }

    /** A pass with a row of the sequence is over; the token it chose is told. */
    void onPassOver(Sequence s) {
        if (pausing.isEmpty() || s.underWay > 0 || s.phase != Phase.PAUSED) {
            return;
        }
        Long exportKey = pausing.remove(s);
        if (exportKey != null) {
            pin(exportKey, s, scheduler.blocksFor(s.written));
            int outputTokens = s.length - s.spec.promptTokens();
            listener.onPaused(
                    exportKey, s.key, outputTokens, pinned.get(exportKey).clone());
        }
    }

    /** The sequence is over: a pause that was not told yet never will be. */
    void onDropped(Sequence s) {
        Long exportKey = pausing.remove(s);
        if (exportKey != null) {
            refuse(exportKey);
        }
    }

    void resume(Sequence s) {
        if (s != null && s.phase == Phase.PAUSED && !pausing.containsKey(s)) {
            scheduler.resume(s);
        }
    }

    /** Pins the first {@code count} blocks of a sequence; those that this export holds already stay as they are. */
    private void pin(long exportKey, Sequence s, int count) {
        int[] before = pinned.getOrDefault(exportKey, new int[0]);
        int[] all = Arrays.copyOf(before, Math.max(before.length, count));
        for (int i = before.length; i < count; i++) {
            all[i] = s.blockTable[i];
            pool.retain(all[i]);
        }
        pinned.put(exportKey, all);
    }

    /** Nothing reads the blocks any more; unknown keys are ignored. */
    void end(long exportKey) {
        int[] blocks = pinned.remove(exportKey);
        if (blocks != null) {
            for (int i = blocks.length - 1; i >= 0; i--) {
                pool.release(blocks[i]);
            }
        }
    }
}
