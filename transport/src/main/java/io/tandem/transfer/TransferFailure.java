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
    NO_ANSWER
}
