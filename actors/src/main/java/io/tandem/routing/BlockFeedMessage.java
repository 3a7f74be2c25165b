package io.tandem.routing;

import io.tandem.serialization.WireMessage;

/** What a node's {@link BlockFeedActor} receives: block events of workers, and its own events. */
public interface BlockFeedMessage {

    /**
     * What changed in a worker's prefix cache since the event before; coalesced, so one event tells of many blocks.
     *
     * @param id from 1 on in each incarnation, without gaps
     * @param words see {@link io.tandem.kvcache.BlockEvents}
     */
    record Events(String gpuId, long epoch, long id, long[] words) implements BlockFeedMessage, WireMessage {}

    /**
     * A part of everything a worker's prefix cache holds.
     *
     * @param lastId number of the latest event that is in it
     * @param part from 0 on
     * @param parts in all
     * @param words stored blocks, as in {@link Events}
     */
    record Snapshot(String gpuId, long epoch, long lastId, int part, int parts, long[] words)
            implements BlockFeedMessage, WireMessage {}
}
