package io.tandem.simulation.fault;

/**
 * What came of one seed whose invariants held.
 *
 * @param finished requests with their whole answer
 * @param resumed requests that went on elsewhere in the middle of their output
 * @param cancelled by their client
 * @param refused before their first token, by the door, for want of room or of workers
 * @param late past their deadline
 * @param endedWithNode requests whose own node died
 * @param tokens handed to clients, each checked
 * @param moves of sequences that decoded on elsewhere
 * @param roleChanges that workers said were done
 * @param longestGapNanos between two tokens of one request
 */
public record FaultReport(
        long seed,
        int requests,
        int finished,
        int resumed,
        int cancelled,
        int refused,
        int late,
        int endedWithNode,
        long tokens,
        int faults,
        long events,
        double virtualSeconds,
        int moves,
        long roleChanges,
        long longestGapNanos) {}
