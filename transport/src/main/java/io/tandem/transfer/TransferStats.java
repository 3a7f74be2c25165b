package io.tandem.transfer;

/**
 * What one transfer took.
 *
 * @param blocks blocks that crossed
 * @param bytes payload bytes that crossed
 * @param nanos from the first byte sent (or received) to the last acknowledged (or verified)
 * @param checksumFailures blocks whose checksum did not match
 */
public record TransferStats(int blocks, long bytes, long nanos, int checksumFailures) {}
