package io.tandem.cluster;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.net.ConnectException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import java.util.function.IntFunction;
import java.util.stream.Collectors;

/**
 * Clients that ask questions whose answers are known, as streams, over all API nodes, and compare each token. They behave as
 * docs/operations.md asks of clients: refused (429, 503, no connection) is tried again on the next API node, and so is a
 * request whose API node was killed under it. Anything else that ends an answer early is a lost request.
 */
final class VerifiedLoad {
    private static final long RETRY_PAUSE_NANOS = TimeUnit.MILLISECONDS.toNanos(50);
    private static final int LISTED = 10;
    private static final Set<String> REFUSALS = Set.of("unavailable", "rate_limit_exceeded");

    /**
     * A whole and right answer.
     *
     * @param resumes times another worker took it over
     * @param recomputedTokens tokens that no cache held when it was taken over, as the router knew
     * @param ttftNanos from the (last) sending to the first token
     * @param gapNanos longest pause between two tokens
     * @param gapEndNanos when that pause ended
     * @param broken times its API node ended under it, so that it was asked anew
     * @param why the last worker took it over; else why its route was chosen
     * @param history what a late first token waited for; else empty
     */
    record Answered(
            int resumes,
            int recomputedTokens,
            long ttftNanos,
            long gapNanos,
            long gapEndNanos,
            int broken,
            String why,
            String history) {}

    /** First tokens that come later than this are told of one by one. */
    private static final long LATE_NANOS = TimeUnit.MILLISECONDS.toNanos(500);

    private static final int LATE_ONES_LISTED = 12;

    private final ForkedCluster cluster;
    private final List<String> apis;
    private final String model;
    private final IntFunction<Question> questions;
    private final AtomicInteger asked = new AtomicInteger();
    private final AtomicInteger running = new AtomicInteger();
    private final AtomicInteger refusals = new AtomicInteger();
    private final List<Answered> answered = Collections.synchronizedList(new ArrayList<>());
    private final List<String> lost = Collections.synchronizedList(new ArrayList<>());
    private final List<String> wrong = Collections.synchronizedList(new ArrayList<>());
    private final Set<String> mayEnd = ConcurrentHashMap.newKeySet();
    private final Map<String, Integer> ends = new ConcurrentHashMap<>();
    private final long startedAt = System.nanoTime();
    private volatile boolean enough;

    VerifiedLoad(ForkedCluster cluster, IntFunction<Question> questions) {
        this.cluster = cluster;
        this.questions = questions;
        apis = List.copyOf(cluster.apis().keySet());
        model = cluster.model();
    }

    /** Keeps so many requests running until {@code meanwhile} is through and so many were asked in all. */
    void run(int clients, int atLeast, Runnable meanwhile) {
        try (ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor()) {
            for (int i = 0; i < clients; i++) {
                threads.execute(() -> {
                    for (int n = next(atLeast); n >= 0; n = next(atLeast)) {
                        running.incrementAndGet();
                        ask(n);
                        running.decrementAndGet();
                    }
                });
            }
            try {
                meanwhile.run();
            } finally {
                enough = true;
            }
        }
    }

    private int next(int atLeast) {
        return enough && (asked.get() >= atLeast || !lost.isEmpty()) ? -1 : asked.getAndIncrement();
    }

    /** From now on this API node may end answers with an error; its clients ask the next one. */
    void allowEnds(String api) {
        mayEnd.add(api);
    }

    /** How often answers ended so, by the error's code. */
    Map<String, Integer> ends() {
        return Map.copyOf(ends);
    }

    int asked() {
        return asked.get();
    }

    int running() {
        return running.get();
    }

    /** Answers to refusals, each tried again until accepted. */
    int refusals() {
        return refusals.get();
    }

    List<Answered> answered() {
        synchronized (answered) {
            return List.copyOf(answered);
        }
    }

    List<String> lost() {
        return some(lost);
    }

    List<String> wrong() {
        return some(wrong);
    }

    private static List<String> some(List<String> all) {
        synchronized (all) {
            return List.copyOf(all.subList(0, Math.min(LISTED, all.size())));
        }
    }

    /** Waits until so many more answers are whole. */
    void awaitAnswers(int more) {
        int target = answered.size() + more;
        Poll.until(
                more + " more answers",
                () -> answered.size() >= target || !lost.isEmpty(),
                () -> answered.size() + " of " + target + "\n" + cluster.tails());
    }

    private void ask(int n) {
        Question question = questions.apply(n);
        int broken = 0;
        for (int attempt = 0; ; attempt++) {
            String api = apis.get((n + attempt) % apis.size());
            int start = cluster.starts(api);
            Reading reading = new Reading();
            try {
                Api.Opened opened = open(api, question);
                if (opened == null) {
                    refusals.incrementAndGet();
                    LockSupport.parkNanos(RETRY_PAUSE_NANOS);
                    continue;
                }
                reading.headAt = System.nanoTime();
                reading.read(opened);
                if (reading.isRefusal()) {
                    refusals.incrementAndGet();
                    LockSupport.parkNanos(RETRY_PAUSE_NANOS);
                    continue;
                }
                if (!reading.error.isNull() && mayEnd.contains(api)) {
                    ends.merge(reading.error.path("code").asText(), 1, Integer::sum);
                    broken++;
                    continue;
                }
                judge(n, question, reading, api, broken);
                return;
            } catch (IOException | UncheckedIOException e) {
                if (cluster.isAlive(api) && cluster.starts(api) == start && !mayEnd.contains(api)) {
                    lost.add("request " + n + " by " + api + " after " + reading.tokens.size() + " tokens: " + e);
                    return;
                }
                broken++;
            }
        }
    }

    /** Null when the node refuses for now, or takes no connection. */
    private Api.Opened open(String api, Question question) throws IOException {
        ObjectNode body = Api.completion(model, question.prompt(), question.answer().length, true);
        try {
            Api.Opened opened = cluster.apis().get(api).open(body);
            if (opened.status() == 429 || opened.status() == 503) {
                opened.body().close();
                return null;
            }
            if (opened.status() != 200) {
                throw new IOException("status " + opened.status() + ": "
                        + new String(opened.body().readAllBytes(), StandardCharsets.UTF_8));
            }
            return opened;
        } catch (ConnectException e) {
            return null;
        }
    }

    private void judge(int n, Question question, Reading reading, String api, int broken) {
        int[] got = reading.tokens.stream().mapToInt(Integer::intValue).toArray();
        if (!reading.error.isNull()) {
            lost.add("request " + n + " by " + api + " after " + got.length + " tokens: " + reading.error);
        } else if (!Arrays.equals(got, question.answer())) {
            wrong.add("request " + n + " by " + api + ": " + Arrays.toString(got) + " instead of "
                    + Arrays.toString(question.answer()) + ", " + reading.report);
        } else {
            int resumes = reading.report.path("resumes").asInt();
            long ttft = reading.firstAt - reading.openedAt;
            String history = ttft < LATE_NANOS ? "" : history(api, reading);
            answered.add(new Answered(
                    resumes,
                    resumes == 0
                            ? 0
                            : recomputed(api, reading.report.path("request_id").asText()),
                    ttft,
                    reading.longestGap,
                    reading.gapEndedAt,
                    broken,
                    reading.report.path("routing_reason").asText().split("; then ")[0],
                    history));
        }
    }

    /** From its sending to its first token, by the node's own record. */
    private String history(String api, Reading reading) {
        StringBuilder text = new StringBuilder(String.format(
                Locale.ROOT,
                "%s, %.1f s after the first: head after %.0f ms, node says %.0f ms, of which %.0f in the queue",
                api,
                (reading.openedAt - startedAt) / 1e9,
                (reading.headAt - reading.openedAt) / 1e6,
                reading.report.path("ttft_ms").asDouble(),
                reading.report.path("queue_ms").asDouble()));
        try {
            for (JsonNode d : cluster.apis()
                    .get(api)
                    .getJson("/admin/requests/"
                            + reading.report.path("request_id").asText())
                    .path("decisions")) {
                JsonNode plan = d.path("plans").path(0);
                for (JsonNode p : d.path("plans")) {
                    plan = p.path("chosen").asBoolean() ? p : plan;
                }
                text.append(String.format(
                        Locale.ROOT,
                        "; after %.0f ms %s, %s, first token after %.0f of predicted %.0f ms%s",
                        d.path("since_ms").asDouble(),
                        plan.path("prefill_gpu").asText(),
                        plan.path("decode_gpu").asText(),
                        d.path("observed_ttft_ms").asDouble(),
                        plan.path("predicted_ttft_ms").asDouble(),
                        d.path("ended").asText().isEmpty()
                                ? ""
                                : ", ended: " + d.path("ended").asText()));
            }
        } catch (UncheckedIOException e) {
            text.append("; its node is gone");
        }
        return text.toString();
    }

    /** The latest first tokens and what they waited for. */
    String late() {
        return answered().stream()
                .filter(a -> !a.history().isEmpty())
                .sorted(Comparator.comparingLong(Answered::ttftNanos).reversed())
                .limit(LATE_ONES_LISTED)
                .map(a -> String.format(Locale.ROOT, "%.0f ms: %s", a.ttftNanos() / 1e6, a.history()))
                .collect(Collectors.joining("\n"));
    }

    /** By the decisions of the attempts after the first, which the node keeps for a while. */
    private int recomputed(String api, String requestId) {
        int tokens = 0;
        try {
            JsonNode decisions = cluster.apis()
                    .get(api)
                    .getJson("/admin/requests/" + requestId)
                    .path("decisions");
            for (int i = 1; i < decisions.size(); i++) {
                for (JsonNode plan : decisions.path(i).path("plans")) {
                    tokens += plan.path("chosen").asBoolean()
                            ? plan.path("uncached_tokens").asInt()
                            : 0;
                }
            }
        } catch (UncheckedIOException e) {
            // The API node was killed since: what it knew is gone, the answer is not.
        }
        return tokens;
    }

    /** One stream as it comes. */
    private static final class Reading {
        private final List<Integer> tokens = new ArrayList<>();
        private final long openedAt = System.nanoTime();
        private long headAt;
        private long firstAt;
        private long lastAt;
        private long longestGap;
        private long gapEndedAt;
        private JsonNode error = Api.JSON.nullNode();
        private JsonNode report = Api.JSON.createObjectNode();

        void read(Api.Opened opened) throws IOException {
            boolean finished = false;
            try (BufferedReader lines =
                    new BufferedReader(new InputStreamReader(opened.body(), StandardCharsets.UTF_8))) {
                for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                    finished |= line.equals("data: [DONE]");
                    if (line.startsWith("data: {")) {
                        chunk(Api.parse(line.substring("data: ".length())));
                    }
                }
            }
            if (!finished && error.isNull()) {
                throw new IOException("the stream ended before [DONE]");
            }
        }

        /** What came too late for a status of its own: see tandem.http.accept-wait. */
        boolean isRefusal() {
            return tokens.isEmpty() && REFUSALS.contains(error.path("code").asText());
        }

        private void chunk(JsonNode chunk) {
            if (chunk.has("error")) {
                error = chunk.path("error");
            }
            if (chunk.has("tandem")) {
                report = chunk.path("tandem");
            }
            JsonNode ids = chunk.path("choices").path(0).path("token_ids");
            if (ids.isEmpty()) {
                return;
            }
            long now = System.nanoTime();
            if (tokens.isEmpty()) {
                firstAt = now;
            } else if (now - lastAt > longestGap) {
                longestGap = now - lastAt;
                gapEndedAt = now;
            }
            lastAt = now;
            ids.forEach(id -> tokens.add(id.asInt()));
        }
    }
}
