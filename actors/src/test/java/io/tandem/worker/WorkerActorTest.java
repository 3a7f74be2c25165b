package io.tandem.worker;

import static org.junit.jupiter.api.Assertions.assertTrue;

import com.typesafe.config.Config;
import com.typesafe.config.ConfigFactory;
import io.tandem.compute.ComputeBackend;
import io.tandem.engine.EngineRole;
import io.tandem.routing.Registries;
import io.tandem.transfer.BlockTransport;
import java.lang.reflect.Proxy;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.pekko.actor.testkit.typed.javadsl.ActorTestKit;
import org.apache.pekko.actor.typed.ActorRef;
import org.junit.jupiter.api.Test;

class WorkerActorTest {
    private static final int GUARD_SECONDS = 60;

    private final CountDownLatch asked = new CountDownLatch(1);
    private final CountDownLatch mayOpen = new CountDownLatch(1);
    private final CountDownLatch closed = new CountDownLatch(2);

    /** Something that can be closed and is never asked for anything else. */
    private <T> T closeable(Class<T> type) {
        return type.cast(Proxy.newProxyInstance(type.getClassLoader(), new Class<?>[] {type}, (proxy, method, args) -> {
            if (!method.getName().equals("close")) {
                throw new UnsupportedOperationException(method.getName());
            }
            closed.countDown();
            return null;
        }));
    }

    private ComputeBackend open() {
        asked.countDown();
        try {
            assertTrue(mayOpen.await(GUARD_SECONDS, TimeUnit.SECONDS));
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
        return closeable(ComputeBackend.class);
    }

    @Test
    void shouldCloseWhatWasStillBeingOpenedWhenItStopped() throws InterruptedException {
        Config config = ConfigFactory.parseString(
                        "pekko { actor.provider = cluster, remote.artery.canonical { hostname = 127.0.0.1, port = 0 } }")
                .withFallback(ConfigFactory.load());
        ActorTestKit kit = ActorTestKit.create("worker", config);
        try {
            GpuHost host = new GpuHost(
                    config, null, Map.of("g", EngineRole.MIXED), gpu -> open(), gpu -> closeable(BlockTransport.class));
            ActorRef<WorkerMessage> worker = kit.spawn(WorkerActor.create("g", host, new Registries(kit.system())));
            assertTrue(asked.await(GUARD_SECONDS, TimeUnit.SECONDS));
            kit.stop(worker);
            mayOpen.countDown();
            assertTrue(closed.await(GUARD_SECONDS, TimeUnit.SECONDS), "backend and transport stay open");
        } finally {
            mayOpen.countDown();
            kit.shutdownTestKit();
        }
    }
}
