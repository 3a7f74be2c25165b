package io.tandem.transfer;

/**
 * What one transfer took.
 *
 * @param blocks blocks that crossed
 * @param bytes payload bytes that crossed
 * @param nanos from the first byte sent (or received) to the last acknowledged (or verified)
 * @param waitedNanos of these, in which the sender had nothing to send: blocks go out while they are computed
 * @param checksumFailures blocks whose checksum did not match
 * @param directBlocks those of {@code blocks} that went by a {@link DirectPath}, past the stream
 */
public record TransferStats(
        int blocks, long bytes, long nanos, long waitedNanos, int checksumFailures, int directBlocks) {

    /** By the stream, and without a pause. */
    public TransferStats(int blocks, long bytes, long nanos, int checksumFailures) {
        this(blocks, bytes, nanos, 0, checksumFailures, 0);
    }

    /** Whether blocks went past the stream. */
    public boolean direct() {
        return directBlocks > 0;
    }

    /** Time in which there was something on its way: {@code bytes} over it is the rate of the way. */
    public long busyNanos() {
        return Math.max(0, nanos - waitedNanos);
    }

    /** Both together. */
    public TransferStats plus(TransferStats more) {
        return new TransferStats(
                blocks + more.blocks,
                bytes + more.bytes,
                nanos + more.nanos,
                waitedNanos + more.waitedNanos,
                checksumFailures + more.checksumFailures,
                directBlocks + more.directBlocks);
    }
}
