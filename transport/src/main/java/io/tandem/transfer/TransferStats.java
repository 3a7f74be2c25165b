package io.tandem.transfer;

/**
 * What one transfer took.
 *
 * @param blocks blocks that crossed
 * @param bytes payload bytes that crossed
 * @param nanos from the first byte sent (or received) to the last acknowledged (or verified)
 * @param checksumFailures blocks whose checksum did not match
 * @param directBlocks those of {@code blocks} that went by a {@link DirectPath}, past the stream
 */
public record TransferStats(int blocks, long bytes, long nanos, int checksumFailures, int directBlocks) {

    /** By the stream. */
    public TransferStats(int blocks, long bytes, long nanos, int checksumFailures) {
        this(blocks, bytes, nanos, checksumFailures, 0);
    }

    /** Whether blocks went past the stream. */
    public boolean direct() {
        return directBlocks > 0;
    }

    /** Both together. */
    public TransferStats plus(TransferStats more) {
        return new TransferStats(
                blocks + more.blocks,
                bytes + more.bytes,
                nanos + more.nanos,
                checksumFailures + more.checksumFailures,
                directBlocks + more.directBlocks);
    }
}
