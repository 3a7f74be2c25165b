package io.tandem.http.openai;

import io.tandem.RequestReport;
import io.tandem.http.wire.JsonWriter;
import java.util.List;

/** Token counts of an answer. */
final class UsageJson {

    private UsageJson() {}

    /**
     * Writes the usage object; a prompt with several choices counts once.
     *
     * @param reports one a choice, prompt by prompt
     * @param n choices of each prompt
     */
    static void write(JsonWriter out, List<RequestReport> reports, int n) {
        long prompt = 0;
        long cached = 0;
        long output = 0;
        for (int i = 0; i < reports.size(); i++) {
            RequestReport report = reports.get(i);
            output += report.outputTokens();
            if (i % n == 0) {
                prompt += report.promptTokens();
                cached += report.cachedPromptTokens();
            }
        }
        out.beginObject();
        out.name("prompt_tokens").value(prompt);
        out.name("completion_tokens").value(output);
        out.name("total_tokens").value(prompt + output);
        out.name("prompt_tokens_details")
                .beginObject()
                .name("cached_tokens")
                .value(cached)
                .endObject();
        out.endObject();
    }
}
