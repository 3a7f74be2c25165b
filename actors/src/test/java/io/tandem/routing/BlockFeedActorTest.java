package io.tandem.routing;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.typesafe.config.ConfigFactory;
import io.tandem.worker.TestWorker;
import io.tandem.worker.WorkerMessage;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.pekko.actor.testkit.typed.javadsl.ActorTestKit;
import org.apache.pekko.actor.testkit.typed.javadsl.TestProbe;
import org.apache.pekko.actor.typed.SupervisorStrategy;
import org.apache.pekko.actor.typed.javadsl.Behaviors;
import org.junit.jupiter.api.Test;

class BlockFeedActorTest {
    private static final Duration GUARD = Duration.ofSeconds(60);

    /** Begun with a request, not from the start: a restart must not wait for another first request. */
    @Test
    void shouldGoOnListeningAfterAFailure() {
        ActorTestKit kit = ActorTestKit.create(ConfigFactory.parseString("pekko.actor.provider = local"));
        try {
            WorkerDirectory directory = new WorkerDirectory();
            BlockFeed feed = new BlockFeed(new PrefixIndex(8, 10_000), 1);
            AtomicBoolean listens = new AtomicBoolean();
            AtomicBoolean broken = new AtomicBoolean(true);
            TestProbe<WorkerMessage.Remote> asked = kit.createTestProbe();
            var actor = kit.spawn(Behaviors.supervise(BlockFeedActor.create(
                            feed,
                            directory,
                            (gpu, message) -> {
                                if (broken.getAndSet(false)) {
                                    throw new IllegalStateException("something that nobody thought of");
                                }
                                asked.getRef().tell(message);
                            },
                            Duration.ofMillis(5),
                            listens::get))
                    .onFailure(RuntimeException.class, SupervisorStrategy.restart()));
            directory.publish(List.of(TestWorker.named("g").live()));
            listens.set(true);
            actor.tell(new BlockFeedActor.Begin());
            WorkerMessage.FetchBlocks fetch = asked.expectMessageClass(WorkerMessage.FetchBlocks.class, GUARD);
            assertEquals(0, fetch.fromId());
        } finally {
            kit.shutdownTestKit();
        }
    }
}
