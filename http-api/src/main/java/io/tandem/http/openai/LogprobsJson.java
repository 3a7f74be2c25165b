package io.tandem.http.openai;

import io.tandem.GenerationEvent.TokenLogprob;
import io.tandem.http.wire.JsonWriter;
import io.tandem.tokenizer.Tokenizer;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/** Log-probabilities in the forms of chat and of plain completions. */
final class LogprobsJson {

    private final Tokenizer tokenizer;

    LogprobsJson(Tokenizer tokenizer) {
        this.tokenizer = tokenizer;
    }

    /** Chat: an object with one entry a token; a token's text may be half a character, its bytes never are. */
    void chat(JsonWriter out, List<TokenLogprob> tokens) {
        out.beginObject().name("content").beginArray();
        for (TokenLogprob token : tokens) {
            out.beginObject();
            entry(out, token.tokenId(), token.logprob());
            out.name("top_logprobs").beginArray();
            for (int i = 0; i < token.topIds().length; i++) {
                out.beginObject();
                entry(out, token.topIds()[i], token.topLogprobs()[i]);
                out.endObject();
            }
            out.endArray().endObject();
        }
        out.endArray().name("refusal").nullValue().endObject();
    }

    /**
     * Completions: parallel arrays.
     *
     * @param offset characters (code points) before the first token
     * @return characters after the last one
     */
    int completion(JsonWriter out, List<TokenLogprob> tokens, int offset) {
        out.beginObject().name("tokens").beginArray();
        tokens.forEach(token -> out.value(text(token.tokenId())));
        out.endArray().name("token_logprobs").beginArray();
        tokens.forEach(token -> out.logprob(token.logprob()));
        out.endArray().name("top_logprobs").beginArray();
        for (TokenLogprob token : tokens) {
            top(out, token);
        }
        out.endArray().name("text_offset").beginArray();
        int at = offset;
        for (TokenLogprob token : tokens) {
            out.value(at);
            at += charactersBegun(token.tokenId());
        }
        out.endArray().endObject();
        return at;
    }

    /** Characters of the answer's text that begin with a token: half of one counts where it begins, a control token is no text. */
    private int charactersBegun(int id) {
        int begun = 0;
        for (byte b : tokenizer.tokenBytes(id, false)) {
            begun += (b & 0xc0) == 0x80 ? 0 : 1;
        }
        return begun;
    }

    /** The most likely tokens by text; of two tokens with one text the likelier stays, for a name may be there once. */
    private void top(JsonWriter out, TokenLogprob token) {
        out.beginObject();
        Set<String> seen = new HashSet<>();
        for (int i = 0; i < token.topIds().length; i++) {
            String text = text(token.topIds()[i]);
            if (seen.add(text)) {
                out.name(text).logprob(token.topLogprobs()[i]);
            }
        }
        String chosen = text(token.tokenId());
        if (seen.add(chosen)) {
            out.name(chosen).logprob(token.logprob());
        }
        out.endObject();
    }

    private void entry(JsonWriter out, int id, float logprob) {
        byte[] bytes = tokenizer.tokenBytes(id, true);
        out.name("token").value(new String(bytes, StandardCharsets.UTF_8));
        out.name("logprob").logprob(logprob);
        out.name("bytes").beginArray();
        for (byte b : bytes) {
            out.value(b & 0xff);
        }
        out.endArray();
    }

    /** A token's text; as OpenAI has it, "bytes:\xNN..." where the bytes are not whole characters. */
    private String text(int id) {
        byte[] bytes = tokenizer.tokenBytes(id, true);
        try {
            return StandardCharsets.UTF_8
                    .newDecoder()
                    .decode(ByteBuffer.wrap(bytes))
                    .toString();
        } catch (CharacterCodingException e) {
            StringBuilder text = new StringBuilder("bytes:");
            for (byte b : bytes) {
                text.append("\\x").append(Character.forDigit(b >> 4 & 0xf, 16)).append(Character.forDigit(b & 0xf, 16));
            }
            return text.toString();
        }
    }
}
