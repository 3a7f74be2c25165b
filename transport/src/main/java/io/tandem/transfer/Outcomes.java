package io.tandem.transfer;

import io.tandem.transfer.wire.Outcome;

/** The wire's outcomes and the API's failures. */
final class Outcomes {
    private Outcomes() {}

    /** What the sender makes of the receiver's answer. */
    static TransferFailure failure(Outcome outcome) {
        return switch (outcome) {
            case CHECKSUM_MISMATCH -> TransferFailure.CHECKSUM_MISMATCH;
            case DEADLINE -> TransferFailure.DEADLINE;
            case ABORTED -> TransferFailure.ABORTED_BY_RECEIVER;
            case UNKNOWN_LEASE -> TransferFailure.UNKNOWN_LEASE;
            case WRONG_EPOCH -> TransferFailure.WRONG_EPOCH;
            case CLOSED -> TransferFailure.CLOSED;
            case NO_MEMORY -> TransferFailure.NO_MEMORY;
            case NO_DIRECT_PATH -> TransferFailure.NO_DIRECT_PATH;
            case DEVICE_ERROR -> TransferFailure.DEVICE_ERROR;
            case COMPLETE, PROTOCOL_ERROR, NULL_VAL -> TransferFailure.PROTOCOL_ERROR;
        };
    }

    /** What the receiver tells of its own failure. */
    static Outcome outcome(TransferFailure failure) {
        return switch (failure) {
            case CHECKSUM_MISMATCH -> Outcome.CHECKSUM_MISMATCH;
            case DEADLINE -> Outcome.DEADLINE;
            case ABORTED_BY_RECEIVER -> Outcome.ABORTED;
            case UNKNOWN_LEASE -> Outcome.UNKNOWN_LEASE;
            case WRONG_EPOCH -> Outcome.WRONG_EPOCH;
            case CLOSED -> Outcome.CLOSED;
            case NO_MEMORY -> Outcome.NO_MEMORY;
            case NO_DIRECT_PATH -> Outcome.NO_DIRECT_PATH;
            case DEVICE_ERROR -> Outcome.DEVICE_ERROR;
            case ABORTED_BY_SENDER, NOT_CONNECTED, NO_ANSWER, PROTOCOL_ERROR -> Outcome.PROTOCOL_ERROR;
        };
    }
}
