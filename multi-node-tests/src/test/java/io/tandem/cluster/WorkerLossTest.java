package io.tandem.cluster;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.tandem.cluster.Golden.Row;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A decode worker dies by SIGKILL in the middle of an answer; another one finishes it. */
class WorkerLossTest {

    @TempDir
    static Path directory;

    @Test
    void shouldFinishOnAnotherWorkerWithExactlyTheSameTokens() throws IOException {
        Row row = Golden.rows("long.jsonl").getFirst();
        Path model = Golden.modelFile();
        try (ForkedCluster cluster =
                ForkedCluster.start(directory, model, 1, 2)) {
            int maxTokens = 120;
            int[] undisturbed = Api.tokenIds(cluster.api().complete(cluster.model(), row.prompt(), maxTokens));
            List<Integer> streamed = new ArrayList<>();
            String victim = "";
            String finish = "";
            try (BufferedReader lines = new BufferedReader(new InputStreamReader(
                    cluster.api().openStream(Api.completion(cluster.model(), row.prompt(), maxTokens, true)),
                    StandardCharsets.UTF_8))) {
                for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                    if (!line.startsWith("data: {")) {
                        continue;
                    }
                    JsonNode choice =
                            Api.parse(line.substring(6)).path("choices").path(0);
                    choice.path("token_ids").forEach(id -> streamed.add(id.asInt()));
                    finish = choice.path("finish_reason").asText(finish);
                    if (victim.isEmpty() && streamed.size() >= 10) {
                        victim = cluster.busyDecodeWorker();
                        cluster.kill(victim);
                    }
                }
            }
            assertTrue(victim.startsWith("decode-"), "a decode worker was killed: " + victim);
            assertArrayEquals(
                    undisturbed, streamed.stream().mapToInt(Integer::intValue).toArray());
            assertEquals(undisturbed.length == maxTokens ? "length" : "stop", finish);
            cluster.awaitNothingHeld();
        }
    }
}
