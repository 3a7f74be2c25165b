package io.tandem;

import java.util.List;

/**
 * What this node's router knows and how well it predicts. Counts since the node started.
 *
 * @param index what it knows of the workers' prefix caches
 * @param errors how wrong its predictions were
 */
public record RoutingStatus(Index index, List<Errors> errors) {
    /** Of a node without a router. */
    public static final RoutingStatus NOTHING = new RoutingStatus(new Index(0, 0, 0, 0, 0, 0, 0, 0, 0), List.of());

    /**
     * The index of cached blocks.
     *
     * @param blocks distinct blocks known
     * @param evictedBlocks given up for want of room
     * @param bytes its memory
     * @param events block events taken in
     * @param words their size in words of 8 bytes
     * @param gaps times that events were missing and asked for
     * @param duplicates events that came again
     * @param snapshots workers heard out from the beginning
     * @param refused messages that were no list of events
     */
    public record Index(
            long blocks,
            long evictedBlocks,
            long bytes,
            long events,
            long words,
            long gaps,
            long duplicates,
            long snapshots,
            long refused) {}

    /**
     * A histogram of the relative error |predicted / observed - 1|.
     *
     * @param figure "ttft" (time to first token) or "itl" (mean time between tokens)
     * @param role of the worker it was predicted for
     * @param side "over" = more was predicted than observed, or "under"
     * @param upper bounds of the buckets; a last one takes the rest
     * @param counts one a bucket
     */
    public record Errors(String figure, String role, String side, List<Double> upper, List<Long> counts, double sum) {}
}
