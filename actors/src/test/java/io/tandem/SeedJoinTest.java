package io.tandem;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.AppenderBase;
import com.typesafe.config.Config;
import com.typesafe.config.ConfigFactory;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.pekko.actor.typed.ActorSystem;
import org.apache.pekko.actor.typed.javadsl.Behaviors;
import org.apache.pekko.cluster.MemberStatus;
import org.apache.pekko.cluster.typed.Cluster;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.slf4j.LoggerFactory;

/** Real cluster nodes in one process; what Pekko says of it is heard at its logger. */
class SeedJoinTest {
    private static final String IN_VAIN = "Couldn't join seed nodes";

    private final Logger pekko = (Logger) LoggerFactory.getLogger("org.apache.pekko.cluster");
    private final BlockingQueue<ILoggingEvent> said = new LinkedBlockingQueue<>();
    private final AppenderBase<ILoggingEvent> ear = new AppenderBase<>() {
        @Override
        protected void append(ILoggingEvent event) {
            said.add(event);
        }
    };

    @BeforeEach
    void listen() {
        ear.start();
        pekko.addAppender(ear);
    }

    @AfterEach
    void stopListening() {
        pekko.detachAppender(ear);
    }

    private static int freePort() throws IOException {
        try (ServerSocket probe = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            return probe.getLocalPort();
        }
    }

    /** A node that begins to join as Tandem's do. */
    private static ActorSystem<Void> node(int port, int seedPort, String more) {
        Config config = ConfigFactory.parseString(more + "\ntandem.node { model.path = none, seeds = [\"127.0.0.1:"
                        + seedPort + "\"], port = " + port
                        + " }\npekko.remote.artery.canonical { hostname = 127.0.0.1, port = " + port + " }\n"
                        + "pekko.cluster.seed-node-timeout = 100ms")
                .withFallback(ConfigFactory.parseResources("tandem-cluster.conf"))
                .withFallback(ConfigFactory.load());
        ActorSystem<Void> system = ActorSystem.create(Behaviors.empty(), "tandem", config);
        SeedJoin.start(system, NodeSettings.from(config));
        return system;
    }

    private static void awaitUp(ActorSystem<Void> system) throws InterruptedException {
        while (!Cluster.get(system).selfMember().status().equals(MemberStatus.up())) {
            Thread.sleep(20);
        }
    }

    private static void stop(ActorSystem<Void> system) {
        system.terminate();
        system.getWhenTerminated().toCompletableFuture().join();
    }

    @Test
    void shouldJoinASeedThatStartsLaterWithoutAWarning() throws Exception {
        int seedPort = freePort();
        ActorSystem<Void> early = node(0, seedPort, "");
        ActorSystem<Void> seed = null;
        try {
            // Long enough for Pekko to have complained some times.
            Thread.sleep(TimeUnit.SECONDS.toMillis(1));
            assertTrue(said.stream().noneMatch(e -> e.getLevel().isGreaterOrEqual(Level.WARN)), said.toString());
            seed = node(seedPort, seedPort, "");
            awaitUp(seed);
            awaitUp(early);
        } finally {
            stop(early);
            if (seed != null) {
                stop(seed);
            }
        }
    }

    @Test
    void shouldNotHideThatNoSeedIsThere() throws Exception {
        ActorSystem<Void> alone = node(0, freePort(), "tandem.node.seed-wait = 100ms");
        try {
            ILoggingEvent event;
            do {
                event = said.take();
            } while (!event.getFormattedMessage().contains(IN_VAIN));
            assertEquals(Level.WARN, event.getLevel());
        } finally {
            stop(alone);
        }
    }
}
