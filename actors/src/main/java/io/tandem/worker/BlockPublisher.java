package io.tandem.worker;

import io.tandem.engine.EngineCommand;
import io.tandem.kvcache.FindableBlocks;
import io.tandem.routing.BlockFeedMessage;
import io.tandem.routing.BlockFeedMessage.Events;
import io.tandem.routing.BlockFeedMessage.Snapshot;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.Predicate;
import org.apache.pekko.actor.typed.ActorRef;

/**
 * Tells the routers that asked what this worker's prefix cache holds. A router asks once for all, gets every event from then
 * on, and asks again for what it missed. Belongs to the worker's actor.
 */
public final class BlockPublisher {

    /** The actor around. */
    public interface Watcher {
        void watch(ActorRef<BlockFeedMessage> router);
    }

    private final BlockEventLog log;
    private final Predicate<EngineCommand> engine;
    private final Watcher watcher;
    private final Set<ActorRef<BlockFeedMessage>> routers = new LinkedHashSet<>();

    /** Routers that wait for a snapshot. */
    private final Set<ActorRef<BlockFeedMessage>> waiting = new LinkedHashSet<>();

    private boolean asked;

    /** @param engine takes a command, or does not when its queue is full */
    public BlockPublisher(BlockEventLog log, Predicate<EngineCommand> engine, Watcher watcher) {
        this.log = log;
        this.engine = engine;
        this.watcher = watcher;
    }

    public long lastId() {
        return log.lastId();
    }

    /** The engine's cache changed. */
    public void onChanged(long[] words) {
        if (log.append(words)) {
            publish();
        }
    }

    /** Every tick: what was collected goes out, and what the engine did not take is asked again. */
    public void tick() {
        publish();
        ask();
    }

    /** A router wants the events from a number on (0 = all that is held), and those to come. */
    public void fetch(ActorRef<BlockFeedMessage> router, long fromId) {
        if (routers.add(router)) {
            watcher.watch(router);
        }
        publish();
        Optional<List<Events>> events = log.since(fromId);
        if (events.isPresent()) {
            events.get().forEach(router::tell);
        } else {
            waiting.add(router);
            ask();
        }
    }

    public void routerGone(ActorRef<BlockFeedMessage> router) {
        routers.remove(router);
        waiting.remove(router);
    }

    /** The engine lists its cache as it is after all changes so far. */
    public void onListed(FindableBlocks blocks) {
        publish();
        asked = false;
        List<Snapshot> parts = log.snapshot(blocks);
        for (ActorRef<BlockFeedMessage> router : new ArrayList<>(waiting)) {
            parts.forEach(router::tell);
        }
        waiting.clear();
    }

    private void ask() {
        if (!waiting.isEmpty() && !asked) {
            asked = engine.test(new EngineCommand.ListBlocks());
        }
    }

    private void publish() {
        log.next().ifPresent(events -> routers.forEach(router -> router.tell(events)));
    }
}
