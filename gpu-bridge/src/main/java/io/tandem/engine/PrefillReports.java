package io.tandem.engine;

import io.tandem.kvcache.KvMemory;
import io.tandem.scheduling.Pass;
import io.tandem.scheduling.Scheduler;
import io.tandem.scheduling.Sequence;
import io.tandem.scheduling.Sequence.Purpose;

/** Tells how far prompts are that decode elsewhere, so that their blocks leave while the rest is computed. */
final class PrefillReports {
    private final EngineListener listener;
    private final Scheduler scheduler;
    private final KvMemory kv;
    private final int blockTokens;

    PrefillReports(EngineListener listener, Scheduler scheduler, KvMemory kv, int blockTokens) {
        this.listener = listener;
        this.scheduler = scheduler;
        this.kv = kv;
        this.blockTokens = blockTokens;
    }

    /** Says which more blocks of a prompt are whole. */
    void onProgress(Sequence s) {
        int whole = wholeBlocks(s, s.written);
        if (whole > s.reportedBlocks) {
            listener.onPrefillProgress(s.key, s.reportedBlocks, whole, s.blockTable);
            s.reportedBlocks = whole;
        }
    }

    /**
     * Says which blocks a pass completes, before it is over. A row of one token is to a backend a decode, behind whose layers it may
     * set no marks ({@link KvMemory#fillGroup}): its block leaves when the pass is over.
     */
    void onBegun(Pass pass) {
        for (int row = 0; row < pass.batch.sequences; row++) {
            Sequence s = pass.sequences[row];
            if (s.purpose == Purpose.PREFILL_ONLY && pass.batch.tokenCount[row] > 1) {
                int first = Math.max(s.reportedBlocks, s.announcedBlocks);
                int whole = wholeBlocks(s, pass.writtenAfter[row]);
                if (whole > first) {
                    listener.onPrefillUnderWay(s.key, first, whole, s.blockTable, kv.passes());
                    s.announcedBlocks = whole;
                }
            }
        }
    }

    private int wholeBlocks(Sequence s, int written) {
        int promptLength = s.spec.tokens().length;
        return written >= promptLength ? scheduler.blocksFor(promptLength) : written / blockTokens;
    }
}
