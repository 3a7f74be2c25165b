package io.tandem.http.admin;

import io.tandem.RouteDecision;
import io.tandem.http.wire.JsonWriter;
import java.nio.charset.StandardCharsets;
import java.util.List;

/** Routing decisions as JSON in snake case; times in milliseconds. */
public final class DecisionJson {
    private static final double NANOS_A_MS = 1e6;

    private DecisionJson() {}

    /** The chosen plan alone, on one line, for a header. */
    public static String line(RouteDecision decision) {
        RouteDecision.Plan p = decision.plan();
        JsonWriter out = new JsonWriter(256).beginObject();
        out.name("prefill_gpu").value(p.prefillGpu());
        out.name("decode_gpu").value(p.decodeGpu());
        out.name("cached_tokens").value(p.cachedTokens());
        out.name("uncached_tokens").value(p.uncachedTokens());
        out.name("predicted_ttft_ms").value(ms(p.predictedTtftNanos()));
        out.name("predicted_itl_ms").value(ms(p.predictedItlNanos()));
        out.name("cost_ms").value(ms(p.cost()));
        out.name("reason").value(decision.reason());
        return new String(out.endObject().toBytes(), StandardCharsets.UTF_8);
    }

    /** An array, one decision an attempt. */
    static void write(JsonWriter out, List<RouteDecision> decisions) {
        out.beginArray();
        for (int i = 0; i < decisions.size(); i++) {
            RouteDecision decision = decisions.get(i);
            out.beginObject().name("attempt").value(i + 1);
            out.name("since_ms").value(ms((double) decision.sinceNanos()));
            out.name("reason").value(decision.reason());
            out.name("ended").value(decision.ended());
            observed(out, decision.observed());
            out.name("plans").beginArray();
            for (int p = 0; p < decision.plans().size(); p++) {
                plan(out, decision.plans().get(p), p == decision.chosen());
            }
            out.endArray().endObject();
        }
        out.endArray();
    }

    /** Null = nothing yet, or too little to tell. */
    private static void observed(JsonWriter out, RouteDecision.Observed observed) {
        milliseconds(out.name("observed_ttft_ms"), observed.ttftNanos());
        milliseconds(out.name("observed_itl_ms"), observed.itlNanos());
    }

    private static void milliseconds(JsonWriter out, double nanos) {
        if (nanos > 0) {
            out.value(ms(nanos));
        } else {
            out.nullValue();
        }
    }

    private static void plan(JsonWriter out, RouteDecision.Plan p, boolean chosen) {
        out.beginObject();
        out.name("chosen").value(chosen);
        out.name("prefill_gpu").value(p.prefillGpu());
        out.name("decode_gpu").value(p.decodeGpu());
        out.name("split").value(p.split());
        out.name("cached_tokens").value(p.cachedTokens());
        out.name("uncached_tokens").value(p.uncachedTokens());
        out.name("predicted_ttft_ms").value(ms(p.predictedTtftNanos()));
        out.name("predicted_itl_ms").value(ms(p.predictedItlNanos()));
        out.name("work_ms").value(ms(p.workNanos()));
        out.name("interference_ms").value(ms(p.interferenceNanos()));
        out.name("late_ms").value(ms(p.lateNanos()));
        out.name("slow_ms").value(ms(p.slowNanos()));
        out.name("transfer_ms").value(ms(p.transferNanos()));
        out.name("cost_ms").value(ms(p.cost()));
        out.endObject();
    }

    /** To a microsecond: more is noise. */
    private static double ms(double nanos) {
        return Math.round(nanos / 1e3) * 1e3 / NANOS_A_MS;
    }
}
