package io.tandem.examples;

import com.typesafe.config.ConfigFactory;
import io.tandem.GenerationRequest;
import io.tandem.GenerationResult;
import io.tandem.Tandem;
import io.tandem.TandemClient;
import java.io.PrintStream;
import java.time.Duration;
import java.util.Map;

/** A whole Tandem node inside one's own JVM service. To join a cluster as a client, name its seeds and no GPUs. */
public final class EmbeddedChat {
    private EmbeddedChat() {}

    /** Asks one question and prints the answer. */
    public static GenerationResult ask(String modelPath, String question, PrintStream out) throws InterruptedException {
        var config = ConfigFactory.parseMap(Map.of("tandem.node.model.path", modelPath))
                .withFallback(ConfigFactory.parseString("""
                        tandem.node.gpus = [{ id = "embedded-0", role = mixed }]
                        tandem.engine { kv-memory-bytes = 128M, max-sequences = 8, max-batch-tokens = 528 }
                        """));
        try (Tandem tandem = Tandem.start(config)) {
            if (!tandem.awaitReady(Duration.ofMinutes(2))) {
                throw new IllegalStateException(tandem.client().clusterStatus().reason());
            }
            TandemClient client = tandem.client();
            String model = client.models().getFirst().name();
            GenerationResult result = client.generate(GenerationRequest.chat(model, question, 24));
            out.println(result.text());
            return result;
        }
    }
}
