package io.tandem.transfer;

/**
 * Names one transfer of KV blocks: the receiving worker's number for it and that worker's epoch (its incarnation). A
 * message with an epoch that is not the receiver's own belongs to a dead incarnation and is dropped.
 */
public record LeaseId(long id, long epoch) {}
