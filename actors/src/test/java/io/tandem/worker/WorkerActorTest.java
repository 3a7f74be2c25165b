package io.tandem.worker;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.typesafe.config.Config;
import com.typesafe.config.ConfigFactory;
import io.tandem.compute.ComputeBackend;
import io.tandem.compute.simulated.SimulatedBackend;
import io.tandem.compute.simulated.TimingModel;
import io.tandem.engine.EngineRole;
import io.tandem.engine.SequenceSpec;
import io.tandem.model.ModelBundle;
import io.tandem.model.ModelConfig;
import io.tandem.model.RopeScaling;
import io.tandem.request.RequestMessage;
import io.tandem.request.RequestTarget;
import io.tandem.routing.Registries;
import io.tandem.routing.RegistryMessage;
import io.tandem.sampling.SamplingParams;
import io.tandem.transfer.BlockTransport;
import io.tandem.transfer.InMemoryNetwork;
import io.tandem.transfer.InMemoryTransport;
import java.lang.reflect.Proxy;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.IntFunction;
import java.util.function.Predicate;
import java.util.function.Supplier;
import org.apache.pekko.actor.testkit.typed.javadsl.ActorTestKit;
import org.apache.pekko.actor.testkit.typed.javadsl.TestProbe;
import org.apache.pekko.actor.typed.ActorRef;
import org.apache.pekko.actor.typed.javadsl.Behaviors;
import org.apache.pekko.cluster.typed.Cluster;
import org.apache.pekko.cluster.typed.Join;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class WorkerActorTest {
    private static final ModelBundle MODEL = new ModelBundle("m", Path.of("m"), null, null, Optional.empty(), "f", 1);
    private static final int GUARD_SECONDS = 60;
    private static final Duration GUARD = Duration.ofSeconds(GUARD_SECONDS);

    private final BlockingQueue<WorkerEnded> ends = new LinkedBlockingQueue<>();
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

    /** Opens when it may. */
    private ComputeBackend later(ComputeBackend backend) {
        asked.countDown();
        try {
            assertTrue(mayOpen.await(GUARD_SECONDS, TimeUnit.SECONDS));
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
        return backend;
    }

    private static Config config() {
        return ConfigFactory.parseString(
                        "pekko { actor.provider = cluster, remote.artery.canonical { hostname = 127.0.0.1, port = 0 } }\n"
                                + "tandem.engine.kv-blocks = 64")
                .withFallback(ConfigFactory.load());
    }

    private static ComputeBackend simulated() {
        ModelConfig shape = new ModelConfig(
                "llama", 1000, 8, 1, 1, 1, 8, 8, 1e-5f, 1e4, new RopeScaling.None(), false, 4096, true, 1, List.of(2));
        return new SimulatedBackend(shape, 16, 640, new TimingModel(0, 0, 0, 0), List.of());
    }

    /** Everything that a worker says of itself, in order; its last words are among {@link #ends}. */
    private BlockingQueue<WorkerReport> reports(ActorTestKit kit) {
        BlockingQueue<WorkerReport> reports = new LinkedBlockingQueue<>();
        kit.spawn(
                Behaviors.receive(RegistryMessage.class)
                        .onMessage(WorkerReport.class, r -> {
                            reports.add(r);
                            return Behaviors.same();
                        })
                        .onMessage(WorkerEnded.class, r -> {
                            ends.add(r);
                            return Behaviors.same();
                        })
                        .build(),
                Registries.NAME);
        Cluster cluster = Cluster.get(kit.system());
        cluster.manager().tell(Join.create(cluster.selfMember().address()));
        return reports;
    }

    private static WorkerReport next(BlockingQueue<WorkerReport> reports, Predicate<WorkerReport> wanted)
            throws InterruptedException {
        while (true) {
            WorkerReport report = reports.poll(GUARD_SECONDS, TimeUnit.SECONDS);
            assertNotNull(report, "no such report");
            if (wanted.test(report)) {
                return report;
            }
        }
    }

    /** Of one GPU; a backend by how many workers of it began before. */
    private static GpuHost host(Config config, IntFunction<ComputeBackend> backends) {
        InMemoryNetwork network = new InMemoryNetwork();
        AtomicInteger opened = new AtomicInteger();
        return new GpuHost(
                config,
                MODEL,
                Map.of("g", EngineRole.MIXED),
                gpu -> backends.apply(opened.get()),
                gpu -> InMemoryTransport.start(network, "g" + opened.incrementAndGet()));
    }

    @Test
    void shouldStayDrainedWhenItStartsAnew() throws InterruptedException {
        Config config = config();
        ActorTestKit kit = ActorTestKit.create("drained", config);
        try {
            BlockingQueue<WorkerReport> reports = reports(kit);
            GpuHost host = host(config, opened -> simulated());
            StandingOrders orders = new StandingOrders();
            Supplier<ActorRef<WorkerMessage>> start =
                    () -> kit.spawn(WorkerActor.create("g", host, new Registries(kit.system()), orders));
            ActorRef<WorkerMessage> first = start.get();
            assertFalse(next(reports, r -> true).draining());
            TestProbe<WorkerMessage.Done> done = kit.createTestProbe();
            first.tell(new WorkerMessage.SetDraining(true, true, done.getRef()));
            assertTrue(done.receiveMessage(GUARD).draining());
            long epoch = next(reports, WorkerReport::draining).epoch();
            kit.stop(first);
            ActorRef<WorkerMessage> second = start.get();
            WorkerReport anew = next(reports, r -> r.epoch() != epoch);
            assertTrue(anew.draining(), "its first word already");
            second.tell(new WorkerMessage.SetDraining(false, false, done.getRef()));
            assertFalse(done.receiveMessage(GUARD).draining());
            kit.stop(second);
            ActorRef<WorkerMessage> third = start.get();
            assertFalse(next(reports, r -> r.epoch() > anew.epoch()).draining());
            kit.stop(third);
        } finally {
            kit.shutdownTestKit();
        }
    }

    /** The supervisor would find another layout than the one it made, and has better to do than to make it again. */
    @Test
    void shouldKeepItsRoleAndItsAgeWhenItStartsAnew() throws InterruptedException {
        Config config = config();
        ActorTestKit kit = ActorTestKit.create("role", config);
        try {
            BlockingQueue<WorkerReport> reports = reports(kit);
            GpuHost host = host(config, opened -> opened == 1 ? later(simulated()) : simulated());
            StandingOrders orders = new StandingOrders();
            Supplier<ActorRef<WorkerMessage>> start =
                    () -> kit.spawn(WorkerActor.create("g", host, new Registries(kit.system()), orders));
            ActorRef<WorkerMessage> first = start.get();
            assertEquals(EngineRole.MIXED, next(reports, r -> true).role());
            TestProbe<WorkerMessage.Done> done = kit.createTestProbe();
            first.tell(new WorkerMessage.ChangeRole(EngineRole.PREFILL, true, done.getRef()));
            assertEquals(EngineRole.PREFILL, done.receiveMessage(GUARD).role());
            WorkerReport before = next(reports, r -> r.role() == EngineRole.PREFILL);
            kit.stop(first);
            ActorRef<WorkerMessage> second = start.get();
            assertTrue(asked.await(GUARD_SECONDS, TimeUnit.SECONDS));
            mayOpen.countDown();
            WorkerReport anew = next(reports, r -> r.epoch() != before.epoch());
            assertEquals(EngineRole.PREFILL, anew.role(), "its first word already");
            assertEquals(EngineRole.MIXED, anew.history().previous());
            assertTrue(anew.history().ageMillis() >= before.history().ageMillis());
            kit.stop(second);
        } finally {
            mayOpen.countDown();
            kit.shutdownTestKit();
        }
    }

    /** Whoever asks for a role while the worker's weights are still read is answered when it is up. */
    @Test
    void shouldTakeARoleWhileItStarts() throws InterruptedException {
        Config config = config();
        ActorTestKit kit = ActorTestKit.create("starts", config);
        try {
            BlockingQueue<WorkerReport> reports = reports(kit);
            GpuHost host = host(config, opened -> later(simulated()));
            ActorRef<WorkerMessage> worker =
                    kit.spawn(WorkerActor.create("g", host, new Registries(kit.system()), new StandingOrders()));
            assertTrue(asked.await(GUARD_SECONDS, TimeUnit.SECONDS));
            TestProbe<WorkerMessage.Done> done = kit.createTestProbe();
            worker.tell(new WorkerMessage.ChangeRole(EngineRole.DECODE, false, done.getRef()));
            mayOpen.countDown();
            assertEquals(EngineRole.DECODE, done.receiveMessage(GUARD).role());
            assertEquals(EngineRole.DECODE, next(reports, r -> true).role());
            kit.stop(worker);
        } finally {
            mayOpen.countDown();
            kit.shutdownTestKit();
        }
    }

    /** Nobody can end a step on a CPU; but whoever waits for it should know where else to go. */
    @Test
    void shouldSayNothingOfItselfWhileAStepDoesNotEnd() throws InterruptedException {
        Config config = ConfigFactory.parseString("tandem.worker { step-timeout = 100ms, report-interval = 20ms }")
                .withFallback(config());
        ActorTestKit kit = ActorTestKit.create("hangs", config);
        CountDownLatch begun = new CountDownLatch(1);
        CountDownLatch mayEnd = new CountDownLatch(1);
        try {
            BlockingQueue<WorkerReport> reports = reports(kit);
            GpuHost host = host(config, opened -> hanging(simulated(), begun, mayEnd));
            ActorRef<WorkerMessage> worker =
                    kit.spawn(WorkerActor.create("g", host, new Registries(kit.system()), new StandingOrders()));
            long epoch = next(reports, r -> true).epoch();
            TestProbe<RequestMessage> hub = kit.createTestProbe();
            SequenceSpec spec = new SequenceSpec(new int[] {5, 6}, 2, 1, SamplingParams.greedy(), new int[] {2}, 0, 0);
            worker.tell(new WorkerMessage.Dispatch(
                    WorkerMessage.Kind.GENERATE, epoch, new RequestTarget(hub.getRef(), 1, 1), spec, 600_000));
            assertTrue(begun.await(GUARD_SECONDS, TimeUnit.SECONDS));
            int said = 0;
            while (reports.poll(1, TimeUnit.SECONDS) != null) {
                assertTrue(++said < 500, "it looks well");
            }
            mayEnd.countDown();
            next(reports, r -> r.epoch() == epoch);
            kit.stop(worker);
        } finally {
            mayEnd.countDown();
            kit.shutdownTestKit();
        }
    }

    private static ComputeBackend hanging(ComputeBackend real, CountDownLatch begun, CountDownLatch mayEnd) {
        return (ComputeBackend) Proxy.newProxyInstance(
                ComputeBackend.class.getClassLoader(), new Class<?>[] {ComputeBackend.class}, (proxy, method, args) -> {
                    if (method.getName().equals("forward") || method.getName().equals("submit")) {
                        begun.countDown();
                        assertTrue(mayEnd.await(GUARD_SECONDS, TimeUnit.SECONDS));
                    }
                    return method.invoke(real, args);
                });
    }

    @Test
    void shouldCloseWhatWasStillBeingOpenedWhenItStopped() throws InterruptedException {
        Config config = config();
        ActorTestKit kit = ActorTestKit.create("worker", config);
        try {
            GpuHost host = new GpuHost(
                    config,
                    null,
                    Map.of("g", EngineRole.MIXED),
                    gpu -> later(closeable(ComputeBackend.class)),
                    gpu -> closeable(BlockTransport.class));
            ActorRef<WorkerMessage> worker =
                    kit.spawn(WorkerActor.create("g", host, new Registries(kit.system()), new StandingOrders()));
            assertTrue(asked.await(GUARD_SECONDS, TimeUnit.SECONDS));
            kit.stop(worker);
            mayOpen.countDown();
            assertTrue(closed.await(GUARD_SECONDS, TimeUnit.SECONDS), "backend and transport stay open");
        } finally {
            mayOpen.countDown();
            kit.shutdownTestKit();
        }
    }

    /** One step of its end that fails keeps nothing else open, whether it was told to stop or fails itself. */
    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void shouldCloseEverythingElseWhenOneStepOfItsEndFails(boolean told) throws InterruptedException {
        Config config = ConfigFactory.parseString("tandem.worker.report-interval = 20ms")
                .withFallback(config());
        ActorTestKit kit = ActorTestKit.create("closes", config);
        try {
            BlockingQueue<WorkerReport> reports = reports(kit);
            InMemoryNetwork network = new InMemoryNetwork();
            AtomicBoolean failing = new AtomicBoolean();
            BlockingQueue<String> calls = new LinkedBlockingQueue<>();
            GpuHost host = new GpuHost(
                    config,
                    MODEL,
                    Map.of("g", EngineRole.MIXED),
                    gpu -> failing(ComputeBackend.class, simulated(), failing, List.of("close", "kvLayout"), calls),
                    gpu -> failing(
                            BlockTransport.class,
                            InMemoryTransport.start(network, gpu),
                            failing,
                            List.of("close", "endDirect"),
                            calls));
            ActorRef<WorkerMessage> worker =
                    kit.spawn(WorkerActor.create("g", host, new Registries(kit.system()), new StandingOrders()));
            long epoch = next(reports, r -> true).epoch();
            failing.set(true);
            if (told) {
                worker.tell(new WorkerActor.Stop());
            }
            kit.createTestProbe().expectTerminated(worker, GUARD);
            calls.removeIf(call -> call.equals("kvLayout"));
            assertEquals(List.of("endDirect", "close", "close"), List.copyOf(calls));
            assertEquals(
                    new WorkerEnded("g", epoch, told ? "its node stops" : "its actor failed"),
                    ends.poll(GUARD_SECONDS, TimeUnit.SECONDS));
        } finally {
            kit.shutdownTestKit();
        }
    }

    /** Calls the real one and says so; those named fail all the same when they are to. */
    private static <T> T failing(
            Class<T> type, T real, AtomicBoolean fails, List<String> named, BlockingQueue<String> calls) {
        return type.cast(Proxy.newProxyInstance(type.getClassLoader(), new Class<?>[] {type}, (proxy, method, args) -> {
            Object answer = method.invoke(real, args);
            if (fails.get() && named.contains(method.getName())) {
                calls.add(method.getName());
                throw new IllegalStateException(method.getName() + " fails on purpose");
            }
            return answer;
        }));
    }

    /** As when its weights cannot be read: what was opened is closed, and the node hears of it. */
    @Test
    void shouldSayThatItCannotStartWhenTheEngineCannot() throws InterruptedException {
        Config config = config();
        ActorTestKit kit = ActorTestKit.create("cannot", config);
        try {
            BlockingQueue<String> heard = new LinkedBlockingQueue<>();
            BackendsAhead backends = new BackendsAhead(
                    List.of("g"),
                    gpu -> closeable(ComputeBackend.class),
                    (gpu, why) -> heard.add(gpu + ": " + why.getMessage()));
            GpuHost host = new GpuHost(
                    config, MODEL, Map.of("g", EngineRole.MIXED), backends, gpu -> closeable(BlockTransport.class));
            ActorRef<WorkerMessage> worker =
                    kit.spawn(WorkerActor.create("g", host, new Registries(kit.system()), new StandingOrders()));
            kit.createTestProbe().expectTerminated(worker, GUARD);
            assertTrue(closed.await(GUARD_SECONDS, TimeUnit.SECONDS), "backend and transport stay open");
            assertEquals(1, heard.size(), heard.toString());
            assertEquals("g: " + backends.gone("g"), heard.poll());
        } finally {
            kit.shutdownTestKit();
        }
    }
}
