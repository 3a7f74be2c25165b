package io.tandem.tokenizer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.tandem.golden.GoldenFiles;
import io.tandem.model.Models;
import io.tandem.weights.Checkpoint;
import io.tandem.weights.GgufCheckpoint;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TokenizerJsonTest {
    private static final ObjectMapper JSON = new ObjectMapper();

    @TempDir
    private Path folder;

    /** The vocabulary of the GGUF file written as tokenizer.json gives the very same ids. */
    @Test
    void shouldAgreeWithTheReferenceOnEveryCase() throws IOException {
        Path file = folder.resolve("tokenizer.json");
        JSON.writeValue(file.toFile(), converted());
        Tokenizer tokenizer = TokenizerJson.read(file);
        List<JsonNode> rows = GoldenFiles.lines("smollm2/tokenization.jsonl");
        assertTrue(rows.size() > 200);
        for (JsonNode row : rows) {
            String text = row.path("text").asText();
            int[] plain = GoldenFiles.ids(row.path("ids"));
            int[] special = row.has("ids_special") ? GoldenFiles.ids(row.path("ids_special")) : plain;
            assertArrayEquals(plain, tokenizer.encode(text, false, false), () -> "row " + row.path("n") + ": " + text);
            assertArrayEquals(special, tokenizer.encode(text, false, true), () -> "row " + row.path("n") + " special");
        }
    }

    private static ObjectNode converted() throws IOException {
        ObjectNode root = JSON.createObjectNode();
        ArrayNode added = root.putArray("added_tokens");
        ObjectNode model = root.putObject("model").put("type", "BPE");
        ObjectNode vocabulary = model.putObject("vocab");
        try (Checkpoint checkpoint = Models.openWeights(GoldenFiles.model())) {
            var metadata = ((GgufCheckpoint) checkpoint).metadata();
            List<String> tokens = metadata.strings("tokenizer.ggml.tokens");
            int[] types = metadata.integers("tokenizer.ggml.token_type");
            for (int id = 0; id < tokens.size(); id++) {
                if (types[id] == 1) {
                    vocabulary.put(tokens.get(id), id);
                } else {
                    added.addObject()
                            .put("id", id)
                            .put("content", tokens.get(id))
                            .put("special", types[id] == 3);
                }
            }
            ArrayNode merges = model.putArray("merges");
            metadata.strings("tokenizer.ggml.merges").forEach(merges::add);
        }
        ArrayNode stages =
                root.putObject("pre_tokenizer").put("type", "Sequence").putArray("pretokenizers");
        stages.addObject().put("type", "Digits").put("individual_digits", true);
        stages.addObject()
                .put("type", "ByteLevel")
                .put("add_prefix_space", false)
                .put("use_regex", true);
        return root;
    }

    @Test
    void shouldNameThePartItDoesNotKnow() throws IOException {
        Path file = folder.resolve("tokenizer.json");
        Files.writeString(file, "{\"model\":{\"type\":\"Unigram\",\"vocab\":{}}}");
        assertEquals(true, message(file).contains("Unigram"), message(file));
        Files.writeString(file, "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":2000000000},\"merges\":[]}}");
        assertTrue(message(file).contains("entries"), message(file));
        Files.writeString(file, "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":-1},\"merges\":[]}}");
        assertTrue(message(file).contains("ids from -1 to 0"), message(file));
        Files.writeString(file, "{\"model\": cut sho");
        assertTrue(message(file).contains(file + " holds no JSON"), message(file));
        Files.writeString(
                file,
                "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]},\"normalizer\":{\"type\":\"NFKD\"}}");
        assertTrue(message(file).contains("NFKD"), message(file));
    }

    private static String message(Path file) {
        return assertThrows(IllegalArgumentException.class, () -> TokenizerJson.read(file))
                .getMessage();
    }

    /** A character of several tokens comes out whole, once, and a broken one becomes U+FFFD. */
    @Test
    void shouldNeverEmitHalfACharacter() throws IOException {
        Tokenizer tokenizer = Models.open(GoldenFiles.model(), "").tokenizer();
        int[] ids =
                tokenizer.encode("\uD83E\uDDD1\u200D\uD83D\uDE80 \u0928\u092E\u0938\u094D\u0924\u0947", false, false);
        IncrementalDetokenizer detokenizer = tokenizer.newDetokenizer(false);
        StringBuilder text = new StringBuilder();
        int empty = 0;
        for (int id : ids) {
            String piece = detokenizer.append(id);
            empty += piece.isEmpty() ? 1 : 0;
            assertTrue(piece.indexOf('\uFFFD') < 0);
            text.append(piece);
        }
        assertTrue(empty > 0, "no character took several tokens: the test shows nothing");
        assertEquals(
                "\uD83E\uDDD1\u200D\uD83D\uDE80 \u0928\u092E\u0938\u094D\u0924\u0947", text + detokenizer.finish());
        IncrementalDetokenizer cut = tokenizer.newDetokenizer(false);
        assertEquals("", cut.append(ids[0]));
        assertEquals("\uFFFD", cut.finish());
    }
}
