package io.tandem.routing;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.typesafe.config.Config;
import com.typesafe.config.ConfigFactory;
import io.tandem.worker.TestWorker;
import java.time.Duration;
import java.util.List;
import org.apache.pekko.actor.testkit.typed.javadsl.ActorTestKit;
import org.apache.pekko.actor.testkit.typed.javadsl.TestProbe;
import org.apache.pekko.actor.typed.ActorRef;
import org.apache.pekko.actor.typed.SupervisorStrategy;
import org.apache.pekko.actor.typed.javadsl.Behaviors;
import org.apache.pekko.cluster.typed.Cluster;
import org.apache.pekko.cluster.typed.Join;
import org.junit.jupiter.api.Test;

class WorkerRegistryTest {
    private static final Duration GUARD = Duration.ofSeconds(60);

    private static Config config() {
        return ConfigFactory.parseString("pekko { actor.provider = cluster, remote.artery.canonical { "
                        + "hostname = 127.0.0.1, port = 0 } }")
                .withFallback(ConfigFactory.load());
    }

    private static List<String> gpus(WorkerDirectory directory) {
        return directory.entries().stream().map(e -> e.report().gpuId()).toList();
    }

    /** Whoever asks for a worker must not hear that there is none until it happens to report again. */
    @Test
    void shouldKnowAfterAFailureWhatItKnewBefore() {
        ActorTestKit kit = ActorTestKit.create("registry", config());
        try {
            Cluster cluster = Cluster.get(kit.system());
            cluster.manager().tell(Join.create(cluster.selfMember().address()));
            String here = Registries.node(cluster.selfMember().address());
            kit.createTestProbe().awaitAssert(GUARD, () -> {
                assertTrue(cluster.state().getMembers().iterator().hasNext(), "it is a member");
                return null;
            });
            WorkerDirectory directory = new WorkerDirectory();
            TestProbe<String> lost = kit.createTestProbe();
            ActorRef<RegistryMessage> registry =
                    kit.spawn(Behaviors.supervise(WorkerRegistry.create(directory, GUARD, (gpu, epoch, why) -> {
                                lost.getRef().tell(gpu + " " + epoch + ": " + why);
                                if (gpu.equals("a")) {
                                    throw new IllegalStateException("something that nobody thought of");
                                }
                            }))
                            .onFailure(RuntimeException.class, SupervisorStrategy.restart()));
            registry.tell(TestWorker.named("a").on(here).epoch(1).report());
            registry.tell(TestWorker.named("b").on(here).report());
            registry.tell(TestWorker.named("c").on("left-meanwhile:1").report());
            registry.tell(TestWorker.named("a").on(here).epoch(2).report());
            lost.expectMessage(GUARD, "a 1: a new incarnation reports");
            lost.expectMessage(GUARD, "c 1: its node is no member any more");
            registry.tell(TestWorker.named("d").on(here).report());
            kit.createTestProbe().awaitAssert(GUARD, () -> {
                assertEquals(List.of("a", "b", "d"), gpus(directory));
                return null;
            });
        } finally {
            kit.shutdownTestKit();
        }
    }
}
