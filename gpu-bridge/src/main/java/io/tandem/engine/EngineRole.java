package io.tandem.engine;

/**
 * What a worker prefers to run: a scheduling state, never a property of the process. Any role can run any sequence, so a
 * flip takes effect at the next step with requests running and their KV in place.
 */
public enum EngineRole {
    /** Prompts at full width; decodes still here go on. */
    PREFILL,
    /** Decodes first; prompts that must run here come in small chunks. */
    DECODE,
    /** Both, under one token budget. */
    MIXED
}
