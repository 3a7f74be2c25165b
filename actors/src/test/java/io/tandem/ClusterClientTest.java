package io.tandem;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.typesafe.config.Config;
import com.typesafe.config.ConfigFactory;
import io.tandem.model.ModelBundle;
import io.tandem.model.ModelConfig;
import io.tandem.model.RopeScaling;
import io.tandem.request.AdmissionActor;
import io.tandem.routing.WorkerDirectory;
import io.tandem.sampling.SamplingParams;
import io.tandem.supervisor.SupervisorMessage;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.apache.pekko.actor.testkit.typed.javadsl.ActorTestKit;
import org.apache.pekko.actor.testkit.typed.javadsl.TestProbe;
import org.apache.pekko.cluster.MemberStatus;
import org.apache.pekko.cluster.typed.Cluster;
import org.apache.pekko.cluster.typed.Join;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** What callers see whose node ends under them; the door and the supervisor are this test. */
class ClusterClientTest {
    private static final Duration GUARD = Duration.ofSeconds(60);
    private static final Config CONFIG = ConfigFactory.parseString(
                    "pekko { actor.provider = cluster, remote.artery.canonical { hostname = 127.0.0.1, port = 0 } }\n"
                            + "tandem { node.model.path = m, lifeline.enabled = off }")
            .withFallback(ConfigFactory.load());

    private final ModelConfig shape = new ModelConfig(
            "llama", 1000, 8, 1, 1, 1, 8, 8, 1e-5f, 1e4, new RopeScaling.None(), false, 4096, true, 1, List.of(2));
    private final WorkerDirectory directory = new WorkerDirectory();
    private final ActorTestKit kit = ActorTestKit.create("client", CONFIG);
    private final TestProbe<AdmissionActor.Message> door = kit.createTestProbe();
    private ClusterClient client;

    @BeforeEach
    void join() throws InterruptedException {
        ModelBundle model = new ModelBundle("m", Path.of("m"), shape, null, Optional.empty(), "f", 1);
        client = new ClusterClient(
                CONFIG,
                model,
                directory,
                new CacheKnowledge(CONFIG, directory),
                ProcessWatch.open(CONFIG, NodeSettings.from(CONFIG)));
        Cluster cluster = Cluster.get(kit.system());
        cluster.manager().tell(Join.create(cluster.selfMember().address()));
        long start = System.nanoTime();
        while (!cluster.selfMember().status().equals(MemberStatus.up())) {
            assertTrue(System.nanoTime() - start < GUARD.toNanos(), "it does not join");
            Thread.sleep(10);
        }
        client.attach(
                kit.system(),
                door.getRef(),
                kit.<SupervisorMessage>createTestProbe().getRef(),
                null);
    }

    @AfterEach
    void stop() {
        kit.shutdownTestKit();
    }

    private static GenerationRequest request(int maxNewTokens, int... ids) {
        return new GenerationRequest(
                "m",
                new GenerationRequest.TokenIds(ids),
                maxNewTokens,
                SamplingParams.greedy(),
                List.of(),
                false,
                "",
                Duration.ZERO);
    }

    private static GenerationException refusal(CompletableFuture<?> failed) {
        ExecutionException e =
                assertThrows(ExecutionException.class, () -> failed.get(GUARD.toSeconds(), TimeUnit.SECONDS));
        return assertInstanceOf(GenerationException.class, Failures.cause(e));
    }

    @Test
    void shouldEndTheRequestsThatTheirNodeLeavesBehind() {
        CompletableFuture<GenerationResult> lost =
                client.generateAsync(request(8, 5, 6)).toCompletableFuture();
        door.expectMessageClass(AdmissionActor.Arrive.class);
        assertEquals(1, client.activeRequests());
        kit.shutdownTestKit();
        assertEquals(GenerationException.Kind.UNAVAILABLE, refusal(lost).kind());
        assertEquals(0, client.activeRequests());
    }

    @Test
    void shouldAnswerAnOperatorWhoseNodeHasEnded() {
        kit.shutdownTestKit();
        assertEquals(
                GenerationException.Kind.UNAVAILABLE,
                refusal(client.drain("g").toCompletableFuture()).kind());
        assertEquals(
                GenerationException.Kind.UNAVAILABLE,
                refusal(client.generateAsync(request(8, 5, 6)).toCompletableFuture())
                        .kind());
    }

    @Test
    void shouldKeepThePromptThatItWasGiven() {
        int[] ids = {5, 6};
        client.generateAsync(request(8, ids));
        ids[0] = 7;
        assertEquals(
                5,
                door.expectMessageClass(AdmissionActor.Arrive.class)
                        .launch()
                        .spec()
                        .tokens()[0]);
    }

    /** It is found at once in any text. */
    @Test
    void shouldRefuseAnEmptyStopText() {
        assertThrows(
                IllegalArgumentException.class,
                () -> new GenerationRequest(
                        "m",
                        new GenerationRequest.TokenIds(new int[] {5}),
                        8,
                        SamplingParams.greedy(),
                        List.of("a", ""),
                        false,
                        "",
                        Duration.ZERO));
    }

    @Test
    void shouldRefuseALengthBelowZero() {
        GenerationException e = refusal(client.generateAsync(request(-3, 5, 6)).toCompletableFuture());
        assertEquals(GenerationException.Kind.INVALID_REQUEST, e.kind());
        assertEquals(0, client.activeRequests());
    }
}
