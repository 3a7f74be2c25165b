package io.tandem.http.openai;

import io.tandem.GenerationEvent;
import io.tandem.GenerationEvent.TokenLogprob;
import io.tandem.RequestReport;
import io.tandem.engine.FinishReason;
import io.tandem.http.admin.StatusJson;
import io.tandem.http.wire.ApiException;
import io.tandem.http.wire.JsonWriter;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/** Collects all choices of a request that is not streamed. */
final class WholeAnswer implements ChoiceSink {

    /** One choice so far. */
    private static final class Choice {
        final StringBuilder text = new StringBuilder();
        final List<TokenLogprob> logprobs = new ArrayList<>();
        int[] promptIds = {};
        int[] ids = new int[16];
        int tokens;
        FinishReason reason;
        RequestReport report;
    }

    private final CompletionSpec spec;
    private final Choice[] choices;
    private final CompletableFuture<Void> complete = new CompletableFuture<>();
    private int finished;

    WholeAnswer(CompletionSpec spec) {
        this.spec = spec;
        this.choices = new Choice[spec.choices()];
        Arrays.setAll(choices, i -> new Choice());
    }

    /** Completes when every choice ended; fails with {@link ApiException}. */
    CompletableFuture<Void> complete() {
        return complete;
    }

    @Override
    public synchronized void started(int index, GenerationEvent.Started event) {
        choices[index].promptIds = event.promptTokens();
    }

    @Override
    public synchronized void tokens(int index, GenerationEvent.Tokens event) {
        Choice choice = choices[index];
        choice.text.append(event.text());
        choice.logprobs.addAll(event.logprobs());
        if (spec.returnTokenIds()) {
            int[] more = event.tokenIds();
            if (choice.ids.length < choice.tokens + more.length) {
                choice.ids = Arrays.copyOf(choice.ids, Math.max(2 * choice.ids.length, choice.tokens + more.length));
            }
            System.arraycopy(more, 0, choice.ids, choice.tokens, more.length);
            choice.tokens += more.length;
        }
    }

    @Override
    public void finished(int index, GenerationEvent.Finished event) {
        boolean all;
        synchronized (this) {
            Choice choice = choices[index];
            choice.text.append(event.text());
            choice.reason = event.reason();
            choice.report = event.report();
            all = ++finished == choices.length;
        }
        if (all) {
            complete.complete(null);
        }
    }

    @Override
    public void failed(ApiException error) {
        complete.completeExceptionally(error);
    }

    /** The body, once complete. */
    synchronized JsonWriter body(AnswerHead head, boolean withReport) {
        JsonWriter out = new JsonWriter(1024).beginObject();
        out.name("id").value(head.id());
        out.name("object").value(spec.chat() ? "chat.completion" : "text_completion");
        out.name("created").value(head.created());
        out.name("model").value(spec.model().name());
        if (!spec.serviceTier().isEmpty()) {
            out.name("service_tier").value(spec.serviceTier());
        }
        out.name("choices").beginArray();
        LogprobsJson logprobs = new LogprobsJson(spec.model().tokenizer());
        List<RequestReport> reports = new ArrayList<>(choices.length);
        for (int i = 0; i < choices.length; i++) {
            choice(out, i, logprobs);
            reports.add(choices[i].report);
        }
        out.endArray().name("usage");
        UsageJson.write(out, reports, spec.n());
        if (spec.returnTokenIds() && spec.chat()) {
            out.name("prompt_token_ids").ints(choices[0].promptIds);
        }
        if (withReport) {
            out.name("tandem");
            StatusJson.reports(out, reports);
        }
        return out.endObject();
    }

    private void choice(JsonWriter out, int index, LogprobsJson logprobs) {
        Choice choice = choices[index];
        out.beginObject().name("index").value(index);
        if (spec.chat()) {
            out.name("message").beginObject();
            out.name("role").value("assistant");
            out.name("content").value(choice.text.toString());
            out.name("refusal").nullValue().endObject();
        } else {
            out.name("text").value(choice.text.toString());
        }
        out.name("logprobs");
        if (!spec.sampling().wantsLogprobs()) {
            out.nullValue();
        } else if (spec.chat()) {
            logprobs.chat(out, choice.logprobs);
        } else {
            logprobs.completion(out, choice.logprobs, 0);
        }
        out.name("finish_reason").value(StatusJson.lower(choice.reason));
        if (spec.returnTokenIds()) {
            if (!spec.chat()) {
                out.name("prompt_token_ids").ints(choice.promptIds);
            }
            out.name("token_ids").ints(Arrays.copyOf(choice.ids, choice.tokens));
        }
        out.endObject();
    }
}
