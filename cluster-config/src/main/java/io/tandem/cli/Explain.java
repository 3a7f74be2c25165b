package io.tandem.cli;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.Locale;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** Shows why a request went where it went. */
@Command(
        name = "explain",
        mixinStandardHelpOptions = true,
        description = "Why a request went where it went: the plans that were weighed, and what came of the chosen one.")
final class Explain implements Callable<Integer> {
    @Mixin
    TandemCommand.Where where;

    @Parameters(index = "0", paramLabel = "ID", description = "x-request-id or the id of the answer")
    String id;

    @Option(names = "--json", description = "the node's own JSON")
    boolean json;

    @Override
    public Integer call() throws Exception {
        if (!id.matches("[A-Za-z0-9._-]{1,128}")) {
            throw new IllegalArgumentException(
                    "'" + id + "' is no request id; see the header x-request-id of an answer");
        }
        try (ApiClient api = where.open()) {
            JsonNode request = api.get("/admin/requests/" + id);
            System.out.print(json ? request.toPrettyString() + "\n" : text(request));
            return 0;
        }
    }

    /** What people read. */
    static String text(JsonNode request) {
        StringBuilder out = new StringBuilder();
        String name = request.path("request_id").asText();
        if (request.path("running").asBoolean()) {
            line(out, String.format(Locale.ROOT, "request %s is running", name));
        } else {
            line(
                    out,
                    String.format(
                            Locale.ROOT,
                            "request %s: %d prompt tokens (%d cached), %d output tokens, %d resumes",
                            name,
                            request.path("prompt_tokens").asInt(),
                            request.path("cached_prompt_tokens").asInt(),
                            request.path("output_tokens").asInt(),
                            request.path("resumes").asInt()));
            line(
                    out,
                    String.format(
                            Locale.ROOT,
                            "prompt on %s, output on %s; first token after %.1f ms, all after %.1f ms; %d KV blocks moved",
                            request.path("prefill_gpu").asText(),
                            request.path("decode_gpu").asText(),
                            request.path("ttft_ms").asDouble(),
                            request.path("total_ms").asDouble(),
                            request.path("kv_blocks").asInt()));
        }
        if (request.path("decisions").isEmpty()) {
            line(out, "no routing decision: it never reached a worker");
        }
        for (JsonNode decision : request.path("decisions")) {
            attempt(out, decision);
        }
        return out.toString();
    }

    private static void attempt(StringBuilder out, JsonNode decision) {
        line(
                out,
                String.format(
                        Locale.ROOT,
                        "%nattempt %d, after %.1f ms: %s",
                        decision.path("attempt").asInt(),
                        decision.path("since_ms").asDouble(),
                        decision.path("reason").asText()));
        String observed = observed(decision);
        if (!observed.isEmpty()) {
            line(out, "  " + observed);
        }
        if (!decision.path("ended").asText().isEmpty()) {
            line(out, "  ended: " + decision.path("ended").asText());
        }
        line(
                out,
                String.format(
                        Locale.ROOT,
                        "  %-16s %-16s %8s %8s %10s %9s %9s %9s %9s %9s %9s %10s",
                        "PREFILL",
                        "DECODE",
                        "CACHED",
                        "COMPUTE",
                        "TTFT ms",
                        "ITL ms",
                        "WORK ms",
                        "BESIDE ms",
                        "LATE ms",
                        "SLOW ms",
                        "MOVE ms",
                        "COST ms"));
        for (JsonNode plan : decision.path("plans")) {
            line(
                    out,
                    String.format(
                            Locale.ROOT,
                            "%s %-16s %-16s %8d %8d %10.1f %9.2f %9.1f %9.1f %9.1f %9.1f %9.1f %10.1f",
                            plan.path("chosen").asBoolean() ? "*" : " ",
                            plan.path("prefill_gpu").asText(),
                            plan.path("decode_gpu").asText(),
                            plan.path("cached_tokens").asInt(),
                            plan.path("uncached_tokens").asInt(),
                            plan.path("predicted_ttft_ms").asDouble(),
                            plan.path("predicted_itl_ms").asDouble(),
                            plan.path("work_ms").asDouble(),
                            plan.path("interference_ms").asDouble(),
                            plan.path("late_ms").asDouble(),
                            plan.path("slow_ms").asDouble(),
                            plan.path("transfer_ms").asDouble(),
                            plan.path("cost_ms").asDouble()));
        }
    }

    /** What came of the chosen plan, beside what was predicted of it. */
    private static String observed(JsonNode decision) {
        for (JsonNode plan : decision.path("plans")) {
            if (plan.path("chosen").asBoolean()) {
                String ttft = figure("first token after", decision.path("observed_ttft_ms"), plan, "predicted_ttft_ms");
                String itl = figure("between tokens", decision.path("observed_itl_ms"), plan, "predicted_itl_ms");
                return ttft.isEmpty() || itl.isEmpty() ? ttft + itl : ttft + "; " + itl;
            }
        }
        return "";
    }

    private static String figure(String what, JsonNode observed, JsonNode plan, String predictedName) {
        double seen = observed.asDouble();
        double predicted = plan.path(predictedName).asDouble();
        return seen <= 0
                ? ""
                : String.format(
                        Locale.ROOT,
                        "%s %.2f ms, predicted %.2f (%+.0f %%)",
                        what,
                        seen,
                        predicted,
                        100 * (predicted / seen - 1));
    }

    private static void line(StringBuilder out, String text) {
        out.append(text).append(System.lineSeparator());
    }
}
