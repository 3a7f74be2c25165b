package io.tandem.routing;

import io.tandem.worker.WorkerMessage;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.function.BiConsumer;
import java.util.function.BooleanSupplier;
import org.apache.pekko.actor.typed.Behavior;
import org.apache.pekko.actor.typed.javadsl.AbstractBehavior;
import org.apache.pekko.actor.typed.javadsl.ActorContext;
import org.apache.pekko.actor.typed.javadsl.Behaviors;
import org.apache.pekko.actor.typed.javadsl.Receive;

/** The one writer of a node's {@link BlockFeed}: hands it what workers say, and asks them what it wants to know. */
public final class BlockFeedActor extends AbstractBehavior<BlockFeedMessage> {

    /** This node has requests: it begins to listen, if it does not yet. */
    public record Begin() implements BlockFeedMessage {}

    private record Tick() implements BlockFeedMessage {}

    private final BlockFeed feed;
    private final WorkerDirectory directory;
    private final BiConsumer<String, WorkerMessage.Remote> workers;
    private boolean begun;

    private BlockFeedActor(
            ActorContext<BlockFeedMessage> context,
            BlockFeed feed,
            WorkerDirectory directory,
            BiConsumer<String, WorkerMessage.Remote> workers,
            boolean begun) {
        super(context);
        this.feed = feed;
        this.directory = directory;
        this.workers = workers;
        this.begun = begun;
    }

    /**
     * @param workers sends to a worker by GPU id
     * @param interval between two looks at who is there and what is missing
     * @param begin whether to listen when it starts, or at {@link Begin}
     */
    public static Behavior<BlockFeedMessage> create(
            BlockFeed feed,
            WorkerDirectory directory,
            BiConsumer<String, WorkerMessage.Remote> workers,
            Duration interval,
            BooleanSupplier begin) {
        return Behaviors.setup(context -> Behaviors.withTimers(timers -> {
            timers.startTimerWithFixedDelay(new Tick(), interval);
            return new BlockFeedActor(context, feed, directory, workers, begin.getAsBoolean());
        }));
    }

    @Override
    public Receive<BlockFeedMessage> createReceive() {
        return newReceiveBuilder()
                .onMessage(BlockFeedMessage.Events.class, m -> ask(feed.onEvents(m, System.nanoTime())))
                .onMessage(BlockFeedMessage.Snapshot.class, m -> ask(feed.onSnapshot(m, System.nanoTime())))
                .onMessage(Tick.class, m -> onTick())
                .onMessage(Begin.class, m -> {
                    begun = true;
                    return onTick();
                })
                .build();
    }

    private Behavior<BlockFeedMessage> onTick() {
        if (begun) {
            List<BlockFeed.Fetch> fetches = feed.onWorkers(directory.entries(), System.nanoTime());
            fetches.forEach(this::ask);
        }
        return this;
    }

    private Behavior<BlockFeedMessage> ask(Optional<BlockFeed.Fetch> fetch) {
        fetch.ifPresent(this::ask);
        return this;
    }

    private void ask(BlockFeed.Fetch fetch) {
        workers.accept(
                fetch.gpuId(),
                new WorkerMessage.FetchBlocks(
                        fetch.epoch(), fetch.fromId(), getContext().getSelf()));
    }
}
