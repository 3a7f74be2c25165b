package io.tandem.simulation;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TraceTest {
    @TempDir
    Path folder;

    private Trace read(String name, String text) throws IOException {
        return TraceFiles.read(Files.writeString(folder.resolve(name), text));
    }

    @Test
    void shouldReadMooncakeAndShareEqualPrefixesOnly() throws IOException {
        Trace trace = read("a.jsonl", """
                {"timestamp": 0, "input_length": 1100, "output_length": 5, "hash_ids": [0, 1, 2]}
                {"timestamp": 1500, "input_length": 1536, "output_length": 7, "hash_ids": [0, 1, 3]}
                {"timestamp": 1500, "input_length": 600, "output_length": 1, "hash_ids": [1, 2]}
                """);
        assertArrayEquals(new long[] {0, 1_500_000_000L, 1_500_000_000L}, trace.arrivalNanos());
        assertArrayEquals(new int[] {0, 1, 2}, trace.nodes()[0]);
        assertArrayEquals(new int[] {0, 1, 3}, trace.nodes()[1]);
        assertArrayEquals(new int[] {4, 5}, trace.nodes()[2], "an equal id behind another path is another prefix");
        assertEquals(750_000_000L, trace.speedUp(2).arrivalNanos()[1]);
    }

    @Test
    void shouldReadAzureWithPromptsOfTheirOwn() throws IOException {
        Trace trace = read("a.csv", """
                TIMESTAMP,ContextTokens,GeneratedTokens
                2023-11-16 18:15:46.6805900,374,44
                2023-11-16 18:15:50.9951690,396,109
                """);
        assertEquals(4_314_579_000L, trace.arrivalNanos()[1]);
        assertEquals(396, trace.inputTokens()[1]);
        assertEquals(109, trace.outputTokens()[1]);
        assertTrue(trace.nodes()[0][0] != trace.nodes()[1][0]);
    }

    @Test
    void shouldNameTheFieldThatIsWrong() {
        String noLength = "{\"timestamp\": 0, \"output_length\": 5, \"hash_ids\": [0]}";
        assertTrue(failure("a.jsonl", noLength).contains("line 1: field input_length"));
        String short512 = "{\"timestamp\": 0, \"input_length\": 513, \"output_length\": 5, \"hash_ids\": [0]}";
        assertTrue(failure("b.jsonl", short512).contains("only 1 prefix ids"));
        assertTrue(failure("c.csv", "when,what\n").contains("TIMESTAMP,ContextTokens"));
        assertTrue(failure("d.txt", "").contains(".jsonl"));
        String good = "{\"timestamp\": 0, \"input_length\": 5, \"output_length\": 5, \"hash_ids\": [0]}\n";
        assertTrue(failure("e.jsonl", good + "hello\n").startsWith("e.jsonl, line 2: no JSON object"));
        assertTrue(failure("f.jsonl", good + good.replace("5,", "5000000000,"))
                .contains("line 2: field input_length must be"));
        assertTrue(failure("g.jsonl", good.replace("5,", "-5,")).startsWith("g.jsonl, line 1: request 0 has -5 input"));
        String header = "TIMESTAMP,ContextTokens,GeneratedTokens\n";
        assertTrue(failure("h.csv", header + "yesterday,1,2\n").startsWith("h.csv, line 2: TIMESTAMP 'yesterday'"));
        assertTrue(failure("i.csv", header + "2023-11-16 18:17:03.97,1,x\n")
                .startsWith("i.csv, line 2: ContextTokens and"));
    }

    private String failure(String name, String text) {
        return String.valueOf(assertThrows(IllegalArgumentException.class, () -> read(name, text))
                .getMessage());
    }

    @Test
    void shouldReadTheExcerpts() throws IOException {
        Trace mooncake = TraceFiles.read(Path.of("src/test/resources/traces/mooncake_conversation_400.jsonl"));
        assertEquals(400, mooncake.size());
        assertEquals(6758, mooncake.inputTokens()[0]);
        Trace azure = TraceFiles.read(Path.of("src/test/resources/traces/azure_llm_2023_conv_400.csv"));
        assertEquals(400, azure.size());
        assertEquals(374, azure.inputTokens()[0]);
    }

    @Test
    void shouldDrawTheSameRequestsFromTheSameSeed() {
        List<SyntheticTrace.Phase> phases = SyntheticTrace.parse("rate=20,seconds=100,input=500;input=50,output=900");
        Trace a = SyntheticTrace.generate(phases, 7);
        Trace b = SyntheticTrace.generate(phases, 7);
        assertArrayEquals(a.arrivalNanos(), b.arrivalNanos());
        assertArrayEquals(a.outputTokens(), b.outputTokens());
        assertTrue(Arrays.hashCode(a.arrivalNanos())
                != Arrays.hashCode(SyntheticTrace.generate(phases, 8).arrivalNanos()));
        assertEquals(4000, a.size(), 300);
        int half = a.size() / 2;
        double early = Arrays.stream(a.inputTokens(), 0, half).average().orElseThrow();
        double late = Arrays.stream(a.inputTokens(), half, a.size()).average().orElseThrow();
        assertTrue(early > 5 * late, early + " and " + late);
    }

    @Test
    void shouldShareSystemPromptsAndEarlierTurns() {
        Trace trace = SyntheticTrace.generate(
                SyntheticTrace.parse("rate=5,seconds=50,prefixes=2,prefix-tokens=1024,turns=3,think=1"), 3);
        long distinctFirst =
                Arrays.stream(trace.nodes()).mapToInt(n -> n[0]).distinct().count();
        assertEquals(2, distinctFirst);
        long distinctSecond = Arrays.stream(trace.nodes())
                .filter(n -> n.length > 2)
                .mapToInt(n -> n[2])
                .distinct()
                .count();
        assertTrue(distinctSecond < 0.6 * trace.size(), "turns of a session share their history");
        assertThrows(IllegalArgumentException.class, () -> SyntheticTrace.parse("speed=3"));
    }

    @Test
    void shouldSpaceBurstyArrivalsUnevenly() {
        assertEquals(0, variation("burstiness=0"), 0.01);
        assertEquals(1, variation("burstiness=1"), 0.1);
        assertEquals(3, variation("burstiness=3"), 0.5);
    }

    private static double variation(String text) {
        long[] at = SyntheticTrace.generate(SyntheticTrace.parse("rate=50,seconds=200," + text), 5)
                .arrivalNanos();
        double[] gaps = new double[at.length - 1];
        for (int i = 0; i < gaps.length; i++) {
            gaps[i] = at[i + 1] - at[i];
        }
        double mean = Arrays.stream(gaps).average().orElseThrow();
        double square =
                Arrays.stream(gaps).map(g -> (g - mean) * (g - mean)).average().orElseThrow();
        return Math.sqrt(square) / mean;
    }
}
