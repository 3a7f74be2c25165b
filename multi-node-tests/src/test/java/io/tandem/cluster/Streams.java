package io.tandem.cluster;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/** Streamed completions read by threads of their own, with the time of each token. */
final class Streams implements AutoCloseable {

    /** One answer as its client saw it. */
    static final class Answer {
        private final List<Integer> tokens = new ArrayList<>();
        private final List<Long> atNanos = new ArrayList<>();
        private volatile int received;
        private String finish = "";
        private Future<?> reader;

        int received() {
            return received;
        }

        /** Waits for the end. */
        int[] tokens() {
            try {
                reader.get();
            } catch (Exception e) {
                throw new AssertionError("a stream failed after " + received + " tokens", e);
            }
            return tokens.stream().mapToInt(Integer::intValue).toArray();
        }

        String finish() {
            return finish;
        }

        /** Longest pause between two tokens. */
        long longestGapNanos() {
            long longest = 0;
            for (int i = 1; i < atNanos.size(); i++) {
                longest = Math.max(longest, atNanos.get(i) - atNanos.get(i - 1));
            }
            return longest;
        }
    }

    private final ForkedCluster cluster;
    private final String model;
    private final ExecutorService readers = Executors.newVirtualThreadPerTaskExecutor();

    Streams(ForkedCluster cluster) {
        this.cluster = cluster;
        model = cluster.model();
    }

    Answer start(int[] prompt, int maxTokens) {
        Answer answer = new Answer();
        answer.reader = readers.submit(() -> {
            read(answer, prompt, maxTokens);
            return null;
        });
        return answer;
    }

    private void read(Answer answer, int[] prompt, int maxTokens) throws IOException {
        try (BufferedReader lines = new BufferedReader(new InputStreamReader(
                cluster.api().openStream(Api.completion(model, prompt, maxTokens, true)), StandardCharsets.UTF_8))) {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                if (line.startsWith("data: {")) {
                    JsonNode choice =
                            Api.parse(line.substring(6)).path("choices").path(0);
                    for (JsonNode id : choice.path("token_ids")) {
                        answer.tokens.add(id.asInt());
                        answer.atNanos.add(System.nanoTime());
                    }
                    answer.received = answer.tokens.size();
                    answer.finish = choice.path("finish_reason").asText(answer.finish);
                }
            }
        }
    }

    @Override
    public void close() {
        readers.close();
    }
}
