package io.tandem.http.admin;

import io.tandem.AdmissionStatus;
import io.tandem.ClusterStatus;
import io.tandem.RequestReport;
import io.tandem.compute.BackendInfo;
import io.tandem.engine.EngineStats;
import io.tandem.http.wire.JsonWriter;
import java.util.List;
import java.util.Locale;

/** The cluster's records as JSON in snake case. */
public final class StatusJson {

    private StatusJson() {}

    /** An enum constant as JSON has it. */
    public static String lower(Enum<?> constant) {
        return constant.name().toLowerCase(Locale.ROOT);
    }

    /** Writes a report as an object. */
    public static JsonWriter report(JsonWriter out, RequestReport r) {
        out.beginObject();
        reportFields(out, r);
        return out.endObject();
    }

    /** A report and the routing decisions behind it. */
    static JsonWriter explained(JsonWriter out, RequestReport r) {
        out.beginObject();
        reportFields(out, r);
        out.name("decisions");
        DecisionJson.write(out, r.decisions());
        return out.endObject();
    }

    /** The report of a request; with several choices the first one's, and all of them as {@code choices}. */
    public static JsonWriter reports(JsonWriter out, List<RequestReport> reports) {
        out.beginObject();
        reportFields(out, reports.get(0));
        if (reports.size() > 1) {
            out.name("choices").beginArray();
            reports.forEach(r -> report(out, r));
            out.endArray();
        }
        return out.endObject();
    }

    private static void reportFields(JsonWriter out, RequestReport r) {
        out.name("request_id").value(r.requestId());
        out.name("prompt_tokens").value(r.promptTokens());
        out.name("output_tokens").value(r.outputTokens());
        out.name("cached_prompt_tokens").value(r.cachedPromptTokens());
        out.name("ttft_ms").value(r.ttftMs());
        out.name("total_ms").value(r.totalMs());
        out.name("prefill_gpu").value(r.prefillGpu());
        out.name("decode_gpu").value(r.decodeGpu());
        out.name("split").value(r.split());
        out.name("kv_blocks").value(r.kvBlocks());
        out.name("kv_bytes").value(r.kvBytes());
        out.name("kv_transfer_ms").value(r.kvTransferMs());
        out.name("kv_direct_blocks").value(r.kvDirectBlocks());
        out.name("checksum_failures").value(r.checksumFailures());
        out.name("resumes").value(r.resumes());
        out.name("routing_reason").value(r.routingReason());
        out.name("service_class").value(r.serviceClass());
        out.name("queue_ms").value(r.queueMs());
    }

    static JsonWriter cluster(JsonWriter out, ClusterStatus status, AdmissionStatus admission) {
        out.beginObject();
        out.name("self").value(status.self());
        out.name("ready").value(status.ready());
        out.name("reason").value(status.reason());
        out.name("members").beginArray();
        for (ClusterStatus.Member member : status.members()) {
            out.beginObject().name("address").value(member.address());
            out.name("roles");
            texts(out, member.roles());
            out.name("status").value(member.status()).endObject();
        }
        out.endArray().name("workers").beginArray();
        for (ClusterStatus.Worker worker : status.workers()) {
            worker(out, worker);
        }
        out.endArray().name("supervisor");
        supervisor(out, status.supervisor()).name("admission");
        return AdmissionJson.write(out, admission).endObject();
    }

    private static JsonWriter supervisor(JsonWriter out, ClusterStatus.Supervisor s) {
        out.beginObject();
        out.name("node").value(s.node());
        out.name("mode").value(s.mode());
        out.name("layout").value(s.layout());
        out.name("wanted_layout").value(s.wanted());
        out.name("prompt_strain").value(s.promptStrain());
        out.name("decode_strain").value(s.decodeStrain());
        out.name("reason").value(s.reason());
        out.name("requests_per_second").value(s.requestsPerSecond());
        out.name("uncached_prompt_tokens_per_second").value(s.promptTokensPerSecond());
        out.name("output_tokens_per_second").value(s.outputTokensPerSecond());
        out.name("role_changes").value(s.changes());
        out.name("last_role_change").value(s.lastChange());
        out.name("last_role_change_ms").value(s.lastChangeMillis());
        return out.endObject();
    }

    private static void worker(JsonWriter out, ClusterStatus.Worker worker) {
        out.beginObject();
        out.name("gpu_id").value(worker.gpuId());
        out.name("node").value(worker.node());
        out.name("epoch").value(worker.epoch());
        out.name("role").value(lower(worker.role()));
        out.name("model").value(worker.model());
        out.name("model_fingerprint").value(worker.modelFingerprint());
        out.name("kv_signature").value(worker.kvSignature());
        out.name("backend");
        backend(out, worker.backend());
        out.name("transfer_wire").value(worker.transferWire());
        out.name("transfer_paths").value(worker.transferPaths());
        out.name("draining").value(worker.draining());
        out.name("live").value(worker.live());
        out.name("stats");
        stats(out, worker.stats());
        out.endObject();
    }

    static JsonWriter backend(JsonWriter out, BackendInfo backend) {
        out.beginObject();
        out.name("name").value(backend.name());
        out.name("device").value(backend.device());
        out.name("refusals");
        texts(out, backend.refusals());
        out.name("batch_invariant").value(backend.batchInvariant());
        out.name("memory_bytes").value(backend.memoryBytes());
        return out.endObject();
    }

    private static void stats(JsonWriter out, EngineStats s) {
        out.beginObject();
        out.name("role").value(lower(s.role()));
        out.name("waiting").value(s.waiting());
        out.name("running").value(s.running());
        out.name("reserved").value(s.reserved());
        out.name("held").value(s.held());
        out.name("waiting_prompt_tokens").value(s.waitingPromptTokens());
        out.name("decodes").value(s.decodes());
        out.name("context_tokens").value(s.contextTokens());
        out.name("total_blocks").value(s.totalBlocks());
        out.name("free_blocks").value(s.freeBlocks());
        out.name("cached_blocks").value(s.cachedBlocks());
        out.name("used_blocks").value(s.usedBlocks());
        out.name("steps").value(s.steps());
        out.name("computed_tokens").value(s.computedTokens());
        out.name("generated_tokens").value(s.generatedTokens());
        out.name("cache_hit_tokens").value(s.cacheHitTokens());
        out.name("preemptions").value(s.preemptions());
        out.name("last_step_nanos").value(s.lastStepNanos());
        out.endObject();
    }

    private static void texts(JsonWriter out, List<String> texts) {
        out.beginArray();
        texts.forEach(out::value);
        out.endArray();
    }
}
