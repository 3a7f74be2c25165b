package io.tandem.simulation.fault;

import io.tandem.routing.BlockFeed;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;

/**
 * Holds an API node's index against the truth: what it says of a worker must be what that worker's cache held after the latest event
 * that was heard, no block more, and none less unless the index is too small for all of them.
 */
final class KnownBlocks {
    private final ApiNode node;
    private final BlockFeed feed;
    private final Map<String, BlockTruth.View> views = new HashMap<>();

    KnownBlocks(ApiNode node, BlockFeed feed) {
        this.node = node;
        this.feed = feed;
    }

    /** Throws when the index says something else than was true. */
    void check() {
        node.world.workers.forEach(worker -> check(worker.gpuId()));
    }

    /** Throws when the index says something else of a worker than was true. */
    void check(String gpuId) {
        feed.heard(gpuId).filter(BlockFeed.Heard::loaded).ifPresent(h -> check(gpuId, h));
    }

    private void check(String gpuId, BlockFeed.Heard heard) {
        BlockTruth truth = node.world.truth(gpuId, heard.epoch());
        if (heard.lastId() > truth.lastId()) {
            fail(gpuId, heard, "no such event was published");
        }
        BlockTruth.View view = views.get(gpuId);
        if (view == null || !view.isOf(truth)) {
            view = truth.new View();
            views.put(gpuId, view);
        }
        view.after(heard.lastId());
        int[] held = {0};
        BlockTruth.View then = view;
        feed.forEachHeld(gpuId, (parent, position, hashes, from, count) -> {
            for (int i = from; i < from + count; i++) {
                if (!then.holds(hashes[i])) {
                    fail(gpuId, heard, "the index says that it holds " + Long.toHexString(hashes[i]));
                }
            }
            held[0] += count;
        });
        boolean roomForAll = node.world.plan.indexBlocks() >= FaultPlan.ROOM_FOR_ALL;
        if (held[0] > view.size() || roomForAll && held[0] < view.size()) {
            fail(gpuId, heard, "it holds " + view.size() + " blocks, the index says " + held[0]);
        }
    }

    private void fail(String gpuId, BlockFeed.Heard heard, String why) {
        throw new IllegalStateException(
                node.name() + " of " + gpuId + "@" + heard.epoch() + " after event " + heard.lastId() + ": " + why);
    }

    /** Empty when every worker was heard to the end. */
    String missing() {
        StringBuilder missing = new StringBuilder();
        for (WorkerNode worker : node.world.workers) {
            Optional<BlockFeed.Heard> heard = feed.heard(worker.gpuId());
            long last = node.world.truth(worker.gpuId(), worker.epoch()).lastId();
            boolean all = heard.isPresent()
                    && heard.get().loaded()
                    && heard.get().epoch() == worker.epoch()
                    && heard.get().lastId() == last;
            if (!all) {
                missing.append(node.name() + " has heard " + worker.gpuId() + "@" + worker.epoch() + " up to " + heard
                        + ", not " + last + "; ");
            }
        }
        return missing.toString();
    }
}
