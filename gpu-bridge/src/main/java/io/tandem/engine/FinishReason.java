package io.tandem.engine;

/** Why a sequence ended on an engine. */
public enum FinishReason {
    /** An end-of-sequence or stop token was chosen. */
    STOP,
    /** The token limit or the context limit was reached. */
    LENGTH,
    /** Cancelled by its owner. */
    CANCELLED,
    /** Its deadline passed. */
    DEADLINE,
    /** A prefill-only sequence has its first token; its blocks stay until released. */
    PREFILLED,
    /** The engine could not go on; the detail says why. */
    ERROR,
    /** Given back unstarted: it is to run elsewhere. */
    SHED
}
