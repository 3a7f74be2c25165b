package io.tandem.tokenizer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.tandem.golden.GoldenFiles;
import io.tandem.model.Models;
import java.io.IOException;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class GgufTokenizerGoldenTest {
    @Test
    void shouldAgreeWithTheReferenceOnEveryCase() throws IOException {
        Tokenizer tokenizer = Models.open(GoldenFiles.model(), "").tokenizer();
        List<JsonNode> rows = GoldenFiles.lines("smollm2/tokenization.jsonl");
        assertTrue(rows.size() > 200);
        for (JsonNode row : rows) {
            String text = row.path("text").asText();
            int[] plain = GoldenFiles.ids(row.path("ids"));
            int[] special = row.has("ids_special") ? GoldenFiles.ids(row.path("ids_special")) : plain;
            assertArrayEquals(plain, tokenizer.encode(text, false, false), () -> "row " + row.path("n") + ": " + text);
            assertArrayEquals(special, tokenizer.encode(text, false, true), () -> "row " + row.path("n") + " special");
            assertEquals(tokenizer.decode(plain), incremental(tokenizer, plain), () -> "row " + row.path("n"));
        }
    }

    private static String incremental(Tokenizer tokenizer, int[] ids) {
        IncrementalDetokenizer detokenizer = tokenizer.newDetokenizer(true);
        StringBuilder text = new StringBuilder();
        for (int id : ids) {
            String piece = detokenizer.append(id);
            assertTrue(piece.isEmpty() || !Character.isHighSurrogate(piece.charAt(piece.length() - 1)));
            text.append(piece);
        }
        return text.append(detokenizer.finish()).toString();
    }

    @Test
    void shouldRenderTheModelsOwnTemplateAsTheReferenceDoes() throws IOException {
        var bundle = Models.open(GoldenFiles.model(), "");
        for (JsonNode row : GoldenFiles.lines("smollm2/chat.jsonl")) {
            List<?> messages =
                    new com.fasterxml.jackson.databind.ObjectMapper().convertValue(row.path("messages"), List.class);
            for (boolean generate : new boolean[] {false, true}) {
                String expected = row.path(generate ? "prompt_gen" : "prompt").asText();
                String rendered = bundle.chatTemplate()
                        .orElseThrow()
                        .render(Map.of("messages", messages, "add_generation_prompt", generate));
                assertEquals(expected, rendered);
            }
        }
    }
}
