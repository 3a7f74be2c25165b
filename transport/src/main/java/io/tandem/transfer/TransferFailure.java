package io.tandem.transfer;

/** Why a transfer ended without all its blocks. */
public enum TransferFailure {
    CHECKSUM_MISMATCH,
    DEADLINE,
    NOT_CONNECTED,
    ABORTED_BY_SENDER,
    ABORTED_BY_RECEIVER,
    UNKNOWN_LEASE,
    WRONG_EPOCH,
    PROTOCOL_ERROR,
    CLOSED,
    /** All was sent and the receiver says nothing: something was lost on a stream that broke and came back. */
    NO_ANSWER,
    /** The receiver has no memory for the stream now. */
    NO_MEMORY,
    /** The receiver has not, or no longer, opened the pool that blocks were offered from. */
    NO_DIRECT_PATH,
    /** The device did not copy what was to be fetched. */
    DEVICE_ERROR
}
