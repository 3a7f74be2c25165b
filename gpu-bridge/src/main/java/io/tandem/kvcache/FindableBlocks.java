package io.tandem.kvcache;

/**
 * Everything a {@link BlockPool} can find at one moment, for a router that begins or has missed events: parallel arrays, in
 * no order.
 *
 * @param keys of the blocks
 * @param parents key of the block before each; meaningless at position 0
 * @param positions index of each in its chain
 */
public record FindableBlocks(long[] keys, long[] parents, int[] positions) {}
