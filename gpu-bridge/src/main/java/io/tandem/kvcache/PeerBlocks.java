package io.tandem.kvcache;

import java.util.function.Consumer;

/**
 * Blocks of workers on the same host, device to device: shows this worker's to others and copies theirs to here. Only a pool's
 * owner writes to it. Calls return at once; what they lead to happens in their order, and {@code done} runs once, on another thread.
 */
public interface PeerBlocks {

    /** Two workers with the same kind understand each other's tickets: "cuda-ipc". */
    String kind();

    /** What another worker on this host, in this process or another one, needs to read these blocks. */
    byte[] ticket();

    /**
     * Makes another worker's blocks readable here.
     *
     * @param link a number for them, never used before
     * @param done hears why they cannot be read; empty when they can
     */
    void open(long link, byte[] ticket, Consumer<String> done);

    /** Ends that, after what was asked for before. */
    void close(long link, Runnable done);

    /** Copies another worker's blocks to own ones, and sums up what lies there then. */
    void fetch(long link, int[] from, int[] to, SumListener done);

    /** Sums up own blocks whose pass is over. */
    void sum(int[] blocks, SumListener done);

    /** Hears of sums. */
    @FunctionalInterface
    interface SumListener {
        /**
         * @param sums by block, see {@link BlockSum}
         * @param failure empty when all went well
         */
        void over(long[] sums, String failure);
    }
}
