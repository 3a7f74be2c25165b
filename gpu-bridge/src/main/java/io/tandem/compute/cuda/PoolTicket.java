package io.tandem.compute.cuda;

import java.nio.ByteBuffer;

/**
 * What another worker needs to read a pool of KV blocks, as bytes of a fixed layout.
 *
 * @param pool a number that no other pool has, by which one of the same process is found
 * @param pid of the owner, for people
 * @param blockBytes bytes of a block
 * @param blocks how many
 * @param device the owner's, by the number that is the same in every process
 * @param handle opens the memory in another process
 */
record PoolTicket(long pool, long pid, long blockBytes, int blocks, byte[] device, byte[] handle) {
    private static final int FORMAT = 0x6b760001;
    private static final int BYTES = 4 + 8 + 8 + 8 + 4 + PeerCalls.UUID_BYTES + PeerCalls.HANDLE_BYTES;

    byte[] bytes() {
        return ByteBuffer.allocate(BYTES)
                .putInt(FORMAT)
                .putLong(pool)
                .putLong(pid)
                .putLong(blockBytes)
                .putInt(blocks)
                .put(device)
                .put(handle)
                .array();
    }

    /** @throws IllegalArgumentException when these are not the bytes of a ticket */
    static PoolTicket of(byte[] bytes) {
        ByteBuffer in = ByteBuffer.wrap(bytes);
        if (bytes.length != BYTES || in.getInt() != FORMAT) {
            throw new IllegalArgumentException("the peer's ticket is of another version");
        }
        byte[] device = new byte[PeerCalls.UUID_BYTES];
        byte[] handle = new byte[PeerCalls.HANDLE_BYTES];
        PoolTicket ticket = new PoolTicket(in.getLong(), in.getLong(), in.getLong(), in.getInt(), device, handle);
        in.get(device).get(handle);
        return ticket;
    }
}
