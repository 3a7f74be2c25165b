package io.tandem.lifeline;

import com.typesafe.config.Config;
import com.typesafe.config.ConfigFactory;
import io.tandem.LifelineStatus;
import io.tandem.routing.Registries;
import java.time.Duration;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.pekko.actor.testkit.typed.javadsl.ActorTestKit;
import org.apache.pekko.actor.testkit.typed.javadsl.FishingOutcomes;
import org.apache.pekko.actor.testkit.typed.javadsl.TestProbe;
import org.apache.pekko.actor.typed.SupervisorStrategy;
import org.apache.pekko.actor.typed.javadsl.Behaviors;
import org.apache.pekko.cluster.typed.Cluster;
import org.apache.pekko.cluster.typed.Join;
import org.junit.jupiter.api.Test;

class LifelineActorTest {
    private static final Duration GUARD = Duration.ofSeconds(60);

    private static Config config(String roles) {
        return ConfigFactory.parseString("pekko { actor.provider = cluster, cluster.roles = [" + roles
                        + "], remote.artery.canonical { hostname = 127.0.0.1, port = 0 } }")
                .withFallback(ConfigFactory.load());
    }

    /** Tells what it hears and fails with a status when it is told to. */
    private record Heard(TestProbe<String> probe, AtomicBoolean fails) implements LifelineActor.Listener {
        @Override
        public void gone(String node, String why) {
            probe.getRef().tell(node + " is gone");
        }

        @Override
        public void back(String node) {
            probe.getRef().tell(node + " is back");
        }

        @Override
        public void status(LifelineStatus status) {
            if (status.open() == 0 && status.watched() == 1 && fails.getAndSet(false)) {
                throw new IllegalStateException("something that nobody thought of");
            }
            probe.getRef().tell(status.open() + " of " + status.watched());
        }
    }

    /** Without it every death would be noticed by time-outs only, for as long as the node lives. */
    @Test
    void shouldWatchTheSamePeersAfterAFailure() {
        LifelineSettings settings = LifelineSettings.from(ConfigFactory.load());
        LifelineSockets theirs = LifelineSockets.open("127.0.0.1", settings);
        LifelineSockets ours = LifelineSockets.open("127.0.0.1", settings);
        ActorTestKit peer =
                ActorTestKit.create("lifelines", config('"' + theirs.role().text() + '"'));
        ActorTestKit kit = ActorTestKit.create("lifelines", config(""));
        try {
            Cluster cluster = Cluster.get(peer.system());
            cluster.manager().tell(Join.create(cluster.selfMember().address()));
            Cluster.get(kit.system())
                    .manager()
                    .tell(Join.create(cluster.selfMember().address()));
            TestProbe<String> heard = kit.createTestProbe();
            AtomicBoolean fails = new AtomicBoolean(true);
            kit.spawn(Behaviors.supervise(LifelineActor.create(ours, settings, roles -> true, new Heard(heard, fails)))
                    .onFailure(RuntimeException.class, SupervisorStrategy.restart()));
            heard.expectMessage(GUARD, "0 of 0");
            heard.expectMessage(GUARD, "0 of 0");
            await(heard, "1 of 1");
            theirs.close();
            String node = Registries.node(cluster.selfMember().address());
            await(heard, node + " is gone");
        } finally {
            kit.shutdownTestKit();
            peer.shutdownTestKit();
            ours.close();
            theirs.close();
        }
    }

    private static void await(TestProbe<String> heard, String wanted) {
        heard.fishForMessage(
                GUARD, text -> text.equals(wanted) ? FishingOutcomes.complete() : FishingOutcomes.continueAndIgnore());
    }
}
