package io.tandem.http.admin;

import io.prometheus.metrics.core.metrics.CounterWithCallback;
import io.prometheus.metrics.core.metrics.GaugeWithCallback;
import io.prometheus.metrics.model.registry.PrometheusRegistry;
import io.tandem.ClusterStatus;
import io.tandem.ClusterStatus.Worker;
import io.tandem.TandemClient;
import io.tandem.engine.EngineStats;
import java.util.function.ToDoubleFunction;
import java.util.function.ToLongFunction;

/** The cluster's workers and their supervisor as this node sees them, for Prometheus. */
final class WorkerMetrics {
    private static final double NANOS = 1e9;

    private final PrometheusRegistry registry;
    private final TandemClient client;

    private WorkerMetrics(PrometheusRegistry registry, TandemClient client) {
        this.registry = registry;
        this.client = client;
    }

    static void register(PrometheusRegistry registry, TandemClient client) {
        WorkerMetrics metrics = new WorkerMetrics(registry, client);
        metrics.state();
        metrics.load();
        metrics.work();
        metrics.supervisor();
    }

    private void state() {
        gauge("tandem_worker_live", "1 when reports arrive", w -> w.live() ? 1 : 0);
        gauge("tandem_worker_draining", "1 when out of routing", w -> w.draining() ? 1 : 0);
        GaugeWithCallback.builder()
                .name("tandem_worker_role")
                .help("1 for the worker's present role")
                .labelNames("gpu", "role")
                .callback(out -> client.clusterStatus()
                        .workers()
                        .forEach(w -> out.call(1, w.gpuId(), StatusJson.lower(w.role()))))
                .register(registry);
    }

    private void load() {
        stat("tandem_worker_running_sequences", "Sequences running", EngineStats::running);
        stat("tandem_worker_waiting_sequences", "Sequences not started", EngineStats::waiting);
        stat("tandem_worker_waiting_prompt_tokens", "Prompt tokens not computed", EngineStats::waitingPromptTokens);
        stat("tandem_worker_kv_blocks", "KV blocks", EngineStats::totalBlocks);
        stat("tandem_worker_kv_used_blocks", "KV blocks in use", EngineStats::usedBlocks);
        stat("tandem_worker_kv_cached_blocks", "KV blocks kept for reuse", EngineStats::cachedBlocks);
        gauge(
                "tandem_worker_last_step_seconds",
                "Duration of the latest step",
                w -> w.stats().lastStepNanos() / NANOS);
    }

    /** They begin anew with the worker's process. */
    private void work() {
        counter("tandem_worker_steps_total", "Steps", EngineStats::steps);
        counter(
                "tandem_worker_computed_tokens_total",
                "Tokens computed, of prompts and output",
                EngineStats::computedTokens);
        counter("tandem_worker_generated_tokens_total", "Tokens chosen", EngineStats::generatedTokens);
        counter(
                "tandem_worker_cache_hit_tokens_total",
                "Prompt tokens found in the cache",
                EngineStats::cacheHitTokens);
        counter(
                "tandem_worker_preemptions_total",
                "Sequences put back for want of KV blocks",
                EngineStats::preemptions);
    }

    private void supervisor() {
        GaugeWithCallback.builder()
                .name("tandem_supervisor_strain")
                .help("Predicted load of the present layout by kind; 1 = just within the target")
                .labelNames("kind")
                .callback(out -> {
                    ClusterStatus.Supervisor s = client.clusterStatus().supervisor();
                    out.call(s.promptStrain(), "prompts");
                    out.call(s.decodeStrain(), "decodes");
                })
                .register(registry);
        CounterWithCallback.builder()
                .name("tandem_supervisor_role_changes_total")
                .help("Role changes made by the supervisor; advice does not count")
                .callback(out ->
                        out.call((double) client.clusterStatus().supervisor().changes()))
                .register(registry);
    }

    private void stat(String name, String help, ToLongFunction<EngineStats> value) {
        gauge(name, help, w -> value.applyAsLong(w.stats()));
    }

    private void gauge(String name, String help, ToDoubleFunction<Worker> value) {
        GaugeWithCallback.builder()
                .name(name)
                .help(help)
                .labelNames("gpu")
                .callback(out ->
                        client.clusterStatus().workers().forEach(w -> out.call(value.applyAsDouble(w), w.gpuId())))
                .register(registry);
    }

    private void counter(String name, String help, ToLongFunction<EngineStats> value) {
        CounterWithCallback.builder()
                .name(name)
                .help(help)
                .labelNames("gpu")
                .callback(out -> client.clusterStatus()
                        .workers()
                        .forEach(w -> out.call((double) value.applyAsLong(w.stats()), w.gpuId())))
                .register(registry);
    }
}
