package io.tandem.cluster;

/**
 * A request whose answer is known.
 *
 * @param prompt token ids
 * @param answer the greedy continuation
 */
record Question(int[] prompt, int[] answer) {}
