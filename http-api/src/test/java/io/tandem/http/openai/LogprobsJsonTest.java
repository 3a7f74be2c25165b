package io.tandem.http.openai;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.tandem.GenerationEvent.TokenLogprob;
import io.tandem.http.wire.JsonWriter;
import io.tandem.tokenizer.IncrementalDetokenizer;
import io.tandem.tokenizer.Tokenizer;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class LogprobsJsonTest {
    private static final int END = 256;
    private final LogprobsJson logprobs = new LogprobsJson(new Bytes());

    private static List<TokenLogprob> tokens(int... ids) {
        List<TokenLogprob> tokens = new ArrayList<>();
        for (int id : ids) {
            tokens.add(new TokenLogprob(id, -1, new int[0], new float[0]));
        }
        return tokens;
    }

    /** The text is "aé🦜b": characters at 0, 1, 2 and 3, whatever their tokens look like. */
    @Test
    void shouldCountCharactersOfTheTextNotOfTheNamesOfHalfOnes() throws IOException {
        JsonWriter out = new JsonWriter(64);
        int after = logprobs.completion(out, tokens('a', 0xc3, 0xa9, 0xf0, 0x9f, 0xa6, 0x9c, 'b', END), 5);
        JsonNode json = new ObjectMapper().readTree(out.toBytes());
        assertEquals("bytes:\\xc3", json.at("/tokens/1").asText());
        assertEquals("[5,6,7,7,8,8,8,8,9]", json.get("text_offset").toString());
        assertEquals(9, after);
    }

    @Test
    void shouldGoOnCountingInTheNextChunk() {
        int half = logprobs.completion(new JsonWriter(64), tokens('a', 0xc3), 0);
        assertEquals(2, half);
        assertEquals(3, logprobs.completion(new JsonWriter(64), tokens(0xa9, 'b'), half));
    }

    /** One token a byte, and one that is no text. */
    private static final class Bytes implements Tokenizer {
        @Override
        public int vocabSize() {
            return END + 1;
        }

        @Override
        public byte[] tokenBytes(int id, boolean special) {
            if (id == END) {
                return (special ? "<end>" : "").getBytes(StandardCharsets.US_ASCII);
            }
            return new byte[] {(byte) id};
        }

        @Override
        public boolean isSpecial(int id) {
            return id == END;
        }

        @Override
        public int[] encode(String text, boolean addSpecial, boolean parseSpecial) {
            throw new UnsupportedOperationException("only tokens are shown");
        }

        @Override
        public String decode(int[] ids) {
            throw new UnsupportedOperationException("only tokens are shown");
        }

        @Override
        public int specialTokenId(String text) {
            return -1;
        }

        @Override
        public IncrementalDetokenizer newDetokenizer(boolean renderSpecial) {
            throw new UnsupportedOperationException("only tokens are shown");
        }
    }
}
