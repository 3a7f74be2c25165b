package io.tandem.http;

import io.tandem.AdmissionStatus;
import io.tandem.ClusterStatus;
import io.tandem.GenerationEvent;
import io.tandem.GenerationEvent.TokenLogprob;
import io.tandem.GenerationException;
import io.tandem.GenerationRequest;
import io.tandem.GenerationResult;
import io.tandem.RequestReport;
import io.tandem.RouteDecision;
import io.tandem.RoutingStatus;
import io.tandem.TandemClient;
import io.tandem.compute.BackendInfo;
import io.tandem.engine.EngineRole;
import io.tandem.engine.EngineStats;
import io.tandem.engine.FinishReason;
import io.tandem.model.ModelBundle;
import io.tandem.model.ModelConfig;
import io.tandem.model.RopeScaling;
import io.tandem.tokenizer.IncrementalDetokenizer;
import io.tandem.tokenizer.Tokenizer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Flow;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;

/** A cluster that says the words it is told to, one token a UTF-8 byte of the prompt, without computing anything. */
final class FakeClient implements TandemClient {

    /** What a request's generation does. */
    enum Mode {
        ANSWER,
        HANG,
        FAIL_AT_ONCE,
        FAIL_ACCEPTED,
        FAIL_MIDWAY
    }

    final List<GenerationRequest> requests = new CopyOnWriteArrayList<>();
    final Map<String, RequestReport> reports = new ConcurrentHashMap<>();
    final CountDownLatch cancelled = new CountDownLatch(1);
    final AtomicInteger active = new AtomicInteger();
    final AtomicInteger ids = new AtomicInteger();
    volatile Mode mode = Mode.ANSWER;
    volatile GenerationException failure = new GenerationException(GenerationException.Kind.INTERNAL, "broken");
    volatile List<String> words = List.of("Hello", " \"wörld\"\n", "🦜");
    /** Words, and then no end. */
    volatile boolean endless;

    volatile boolean ready = true;
    volatile int maxTokens = 16;
    volatile EngineRole role = EngineRole.MIXED;

    /** Done once nothing runs on a GPU that is drained. */
    volatile CompletableFuture<Void> idle = CompletableFuture.completedFuture(null);

    @Override
    public Generation start(GenerationRequest request, GenerationObserver observer) {
        requests.add(request);
        if (mode == Mode.FAIL_AT_ONCE) {
            throw failure;
        }
        String id = "r" + ids.incrementAndGet();
        active.incrementAndGet();
        AtomicBoolean over = new AtomicBoolean();
        AtomicInteger told = new AtomicInteger();
        Thread.ofVirtual().start(() -> run(request, observer, id, over, told));
        return new Generation() {
            @Override
            public String requestId() {
                return id;
            }

            @Override
            public void cancel() {
                if (over.compareAndSet(false, true)) {
                    active.decrementAndGet();
                    cancelled.countDown();
                    observer.onEvent(new GenerationEvent.Finished("", FinishReason.CANCELLED, report(id, told.get())));
                }
            }
        };
    }

    private void run(
            GenerationRequest request, GenerationObserver observer, String id, AtomicBoolean over, AtomicInteger told) {
        if (mode == Mode.FAIL_ACCEPTED) {
            fail(observer, over);
            return;
        }
        observer.onEvent(new GenerationEvent.Started(id, new int[] {1, 2, 3}));
        if (mode == Mode.HANG) {
            return;
        }
        int token = 'a';
        for (String word : words) {
            if (over.get()) {
                return;
            }
            List<TokenLogprob> logprobs = request.sampling().wantsLogprobs()
                    ? List.of(new TokenLogprob(
                            token, -0.5f, new int[] {token, 0xc3}, new float[] {-0.5f, Float.NEGATIVE_INFINITY}))
                    : List.of();
            told.incrementAndGet();
            observer.onEvent(new GenerationEvent.Tokens(word, new int[] {token++}, logprobs));
        }
        if (endless) {
            return;
        }
        if (mode == Mode.FAIL_MIDWAY) {
            reports.put(id, report(id, told.get()));
            fail(observer, over);
        } else if (over.compareAndSet(false, true)) {
            active.decrementAndGet();
            RequestReport report = report(id, words.size());
            reports.put(id, report);
            observer.onEvent(new GenerationEvent.Finished("", FinishReason.STOP, report));
        }
    }

    private void fail(GenerationObserver observer, AtomicBoolean over) {
        if (over.compareAndSet(false, true)) {
            active.decrementAndGet();
            observer.onError(failure);
        }
    }

    /** Of every request. */
    static final RouteDecision DECISION = new RouteDecision(
            List.of(
                    new RouteDecision.Plan("g0", "g1", 2, 1, 1.5e6, 7.25e6, 1e6, 0, 0, 0, 2e6, 4.5e6),
                    new RouteDecision.Plan("g1", "g1", 0, 3, 3e6, 7.25e6, 3e6, 0, 0, 0, 0, 6e6)),
            0,
            "split: least cost",
            1_500_000,
            "worker g1 is lost",
            new RouteDecision.Observed(2e6, 0));

    @Override
    public RoutingStatus routing() {
        return new RoutingStatus(
                new RoutingStatus.Index(11, 1, 660, 5, 40, 2, 3, 1, 0),
                List.of(new RoutingStatus.Errors(
                        "ttft", "mixed", "under", List.of(0.1, 1.0), List.of(3L, 2L, 1L), 4.5)));
    }

    @Override
    public Optional<List<RouteDecision>> decisions(String requestId) {
        int number = requestId.matches("r[0-9]+") ? Integer.parseInt(requestId.substring(1)) : 0;
        return number > 0 && number <= ids.get() ? Optional.of(List.of(DECISION)) : Optional.empty();
    }

    static RequestReport report(String id, int tokens) {
        return new RequestReport(
                id,
                3,
                tokens,
                2,
                1.5,
                2.5,
                "g0",
                "g1",
                true,
                4,
                4096,
                0.25,
                3,
                1,
                2,
                "long prompt",
                "default",
                0.5,
                List.of(DECISION));
    }

    @Override
    public GenerationResult generate(GenerationRequest request) {
        throw new UnsupportedOperationException("the HTTP layer does not block");
    }

    @Override
    public CompletionStage<GenerationResult> generateAsync(GenerationRequest request) {
        throw new UnsupportedOperationException("the HTTP layer uses start");
    }

    @Override
    public Flow.Publisher<GenerationEvent> stream(GenerationRequest request) {
        throw new UnsupportedOperationException("the HTTP layer uses start");
    }

    @Override
    public int maxTokens(ModelBundle model) {
        return maxTokens;
    }

    @Override
    public List<ModelBundle> models() {
        ModelConfig config = new ModelConfig(
                "llama",
                256,
                8,
                1,
                1,
                1,
                8,
                16,
                1e-5f,
                10000,
                new RopeScaling.None(),
                false,
                512,
                true,
                -1,
                List.of(0));
        return List.of(new ModelBundle(
                "org/tiny", Path.of("tiny"), config, new Bytes(), Optional.of(context -> ""), "f".repeat(64), 1));
    }

    @Override
    public ClusterStatus clusterStatus() {
        EngineStats stats = new EngineStats(role, 1, 2, 0, 0, 5, 3, 40, 10, 6, 1, 100, 200, 50, 20, 0, 1_000_000);
        ClusterStatus.Worker worker = new ClusterStatus.Worker(
                "g0",
                "n:1",
                1,
                "org/tiny",
                "f",
                "kv",
                new BackendInfo("cpu-scalar", "1 thread", List.of("cuda: no device"), true, 1024),
                "ipc",
                "cuda-ipc",
                false,
                true,
                stats);
        return new ClusterStatus(
                "n:1",
                ready,
                ready ? "" : "no worker can decode",
                List.of(new ClusterStatus.Member("n:1", List.of("gpu"), "Up")),
                List.of(worker),
                ClusterStatus.Supervisor.NONE);
    }

    @Override
    public CompletionStage<EngineRole> setRole(String gpuId, EngineRole newRole) {
        role = newRole;
        return CompletableFuture.completedFuture(newRole);
    }

    @Override
    public CompletionStage<Void> drain(String gpuId) {
        return idle;
    }

    @Override
    public CompletionStage<Void> undrain(String gpuId) {
        return CompletableFuture.completedFuture(null);
    }

    @Override
    public Optional<RequestReport> report(String requestId) {
        return Optional.ofNullable(reports.get(requestId));
    }

    @Override
    public AdmissionStatus admission() {
        List<AdmissionStatus.ServiceTier> tiers = new ArrayList<>();
        for (String name : List.of("priority", "default")) {
            AdmissionStatus.QueueTimes times =
                    new AdmissionStatus.QueueTimes(List.of(0.1, 1.0), List.of(5L, 2L, 1L), 4.5);
            tiers.add(new AdmissionStatus.ServiceTier(name, 500, 50, 1, 1, false, 3, 4, times));
        }
        return new AdmissionStatus(
                true,
                "default",
                tiers,
                List.of(new AdmissionStatus.Tenant("key-00000000", 2, 3, 4)),
                List.of(new AdmissionStatus.Outcome("priority", "key-00000000", "rejected_ttft", 7)));
    }

    @Override
    public int activeRequests() {
        return active.get();
    }

    /** One token a byte. */
    private static final class Bytes implements Tokenizer {
        @Override
        public int vocabSize() {
            return 256;
        }

        @Override
        public int[] encode(String text, boolean addSpecial, boolean parseSpecial) {
            byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
            int[] ids = new int[bytes.length];
            for (int i = 0; i < ids.length; i++) {
                ids[i] = bytes[i] & 0xff;
            }
            return ids;
        }

        @Override
        public String decode(int[] tokens) {
            byte[] bytes = new byte[tokens.length];
            for (int i = 0; i < bytes.length; i++) {
                bytes[i] = (byte) tokens[i];
            }
            return new String(bytes, StandardCharsets.UTF_8);
        }

        @Override
        public byte[] tokenBytes(int id, boolean special) {
            return new byte[] {(byte) id};
        }

        @Override
        public int specialTokenId(String text) {
            return -1;
        }

        @Override
        public boolean isSpecial(int id) {
            return false;
        }

        @Override
        public IncrementalDetokenizer newDetokenizer(boolean renderSpecial) {
            throw new UnsupportedOperationException("the HTTP layer gets text");
        }
    }
}
