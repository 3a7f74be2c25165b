package io.tandem.transfer;

import java.util.function.Consumer;

/**
 * A way for blocks from one worker's pool to another's past the stream, such as from device to device. Whoever owns the pool
 * provides it; the transport agrees with the peer, keeps the leases, and lets the receiver fetch: nobody but a pool's owner
 * ever writes to it. All calls return at once; {@code done} runs later, once, on any thread. Calls for one link are carried out in
 * the order they came.
 */
public interface DirectPath {
    /** Bytes of a ticket at most. */
    int MAX_TICKET_BYTES = 512;

    /** Two ends with the same name understand each other's tickets: "cuda-ipc". */
    String name();

    /** What a peer on this host needs to read this worker's pool. */
    byte[] ticket();

    /**
     * Opens a peer's pool.
     *
     * @param link a number for it from here on
     * @param done hears why not; empty when it is open
     */
    void open(long link, byte[] ticket, Consumer<String> done);

    /** Closes a pool, after the fetches that were asked for before. */
    void close(long link, Runnable done);

    /**
     * Copies blocks of a peer's pool to blocks of this worker's.
     *
     * @param from numbers in the peer's pool
     * @param to numbers in this worker's
     */
    void fetch(long link, int[] from, int[] to, FetchListener done);

    /** The end of a fetch. */
    @FunctionalInterface
    interface FetchListener {
        /**
         * @param sums of what lies in the target blocks now, by the path's own checksum
         * @param failure empty when all were copied
         */
        void over(long[] sums, String failure);
    }
}
