package io.tandem.http.openai;

import io.tandem.GenerationEvent.TokenLogprob;
import io.tandem.RequestReport;
import io.tandem.engine.FinishReason;
import io.tandem.http.admin.StatusJson;
import io.tandem.http.wire.ApiException;
import io.tandem.http.wire.JsonWriter;
import java.nio.charset.StandardCharsets;
import java.util.List;

/**
 * Encodes the events of one stream. The constant parts of a chunk are encoded once, so that a token costs the escaping
 * of its text and little more. Not thread-safe.
 */
final class ChunkEncoder {

    private static final byte[] DATA = ascii("data: ");
    private static final byte[] END = ascii("\n\n");
    private static final byte[] DONE = ascii("data: [DONE]\n\n");

    private final CompletionSpec spec;
    private final LogprobsJson logprobs;
    private final byte[] head;
    private final byte[] usageNull;
    private final byte[][] textStart;
    private final byte[] textEnd;
    private final int[] textOffsets;

    ChunkEncoder(AnswerHead answer) {
        spec = answer.spec();
        logprobs = new LogprobsJson(spec.model().tokenizer());
        textOffsets = new int[spec.choices()];
        JsonWriter out = new JsonWriter(256).bytes(DATA).beginObject();
        out.name("id").value(answer.id());
        out.name("object").value(spec.chat() ? "chat.completion.chunk" : "text_completion");
        out.name("created").value(answer.created());
        out.name("model").value(spec.model().name());
        if (!spec.serviceTier().isEmpty()) {
            out.name("service_tier").value(spec.serviceTier());
        }
        head = out.toBytes();
        usageNull = ascii(spec.includeUsage() ? ",\"usage\":null" : "");
        textEnd = ascii((spec.chat() ? "\"},\"logprobs\":null" : "\",\"logprobs\":null") + ",\"finish_reason\":null}]"
                + new String(usageNull, StandardCharsets.US_ASCII) + "}\n\n");
        textStart = new byte[spec.choices()][];
        for (int i = 0; i < textStart.length; i++) {
            textStart[i] = ascii(new String(head, StandardCharsets.UTF_8), i, spec.chat());
        }
    }

    /** The first chunk of a choice: the role, and the prompt's ids where they are wanted. Completions have it for ids only. */
    void start(JsonWriter out, int choice, int[] promptIds) {
        if (!spec.chat() && !spec.returnTokenIds()) {
            return;
        }
        open(out);
        out.name("index").value(choice);
        if (spec.chat()) {
            out.name("delta").beginObject().name("role").value("assistant");
            out.name("content").value("").endObject();
        } else {
            out.name("text").value("");
        }
        out.name("logprobs").nullValue().name("finish_reason").nullValue();
        if (spec.returnTokenIds() && !spec.chat()) {
            out.name("prompt_token_ids").ints(promptIds);
            out.name("token_ids").beginArray().endArray();
        }
        out.endObject().endArray();
        if (spec.returnTokenIds() && spec.chat()) {
            out.name("prompt_token_ids").ints(promptIds);
        }
        close(out);
    }

    /** Text and, where wanted, ids and log-probabilities. */
    void delta(JsonWriter out, int choice, String text, int[] ids, List<TokenLogprob> tokens) {
        if (!spec.returnTokenIds() && tokens.isEmpty()) {
            if (!text.isEmpty()) {
                out.bytes(textStart[choice]).escaped(text).bytes(textEnd);
            }
            return;
        }
        open(out);
        out.name("index").value(choice);
        if (spec.chat()) {
            out.name("delta").beginObject().name("content").value(text).endObject();
        } else {
            out.name("text").value(text);
        }
        out.name("logprobs");
        if (tokens.isEmpty()) {
            out.nullValue();
        } else if (spec.chat()) {
            logprobs.chat(out, tokens);
        } else {
            textOffsets[choice] = logprobs.completion(out, tokens, textOffsets[choice]);
        }
        out.name("finish_reason").nullValue();
        if (spec.returnTokenIds()) {
            out.name("token_ids").ints(ids);
        }
        out.endObject().endArray();
        close(out);
    }

    /** The last chunk of a choice. */
    void finish(JsonWriter out, int choice, FinishReason reason) {
        open(out);
        out.name("index").value(choice);
        if (spec.chat()) {
            out.name("delta").beginObject().endObject();
        } else {
            out.name("text").value("");
        }
        out.name("logprobs").nullValue();
        out.name("finish_reason").value(StatusJson.lower(reason));
        out.endObject().endArray();
        close(out);
    }

    /** After the last choice: usage and report, each where wanted; nothing when neither is. */
    void summary(JsonWriter out, List<RequestReport> reports, boolean withReport) {
        if (!spec.includeUsage() && !withReport) {
            return;
        }
        out.bytes(head).continueObject();
        out.name("choices").beginArray().endArray();
        if (spec.includeUsage()) {
            out.name("usage");
            UsageJson.write(out, reports, spec.n());
        }
        if (withReport) {
            out.name("tandem");
            StatusJson.reports(out, reports);
        }
        out.endObject().bytes(END);
    }

    void error(JsonWriter out, ApiException error) {
        out.bytes(DATA).startValue();
        error.write(out).bytes(END);
    }

    void done(JsonWriter out) {
        out.bytes(DONE);
    }

    private void open(JsonWriter out) {
        out.bytes(head).continueObject();
        out.name("choices").beginArray().beginObject();
    }

    private void close(JsonWriter out) {
        out.bytes(usageNull).endObject().bytes(END);
    }

    private static byte[] ascii(String text) {
        return text.getBytes(StandardCharsets.US_ASCII);
    }

    private static byte[] ascii(String head, int choice, boolean chat) {
        String text =
                head + ",\"choices\":[{\"index\":" + choice + (chat ? ",\"delta\":{\"content\":\"" : ",\"text\":\"");
        return text.getBytes(StandardCharsets.UTF_8);
    }
}
