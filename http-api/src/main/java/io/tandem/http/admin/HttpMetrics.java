package io.tandem.http.admin;

import io.prometheus.metrics.core.datapoints.CounterDataPoint;
import io.prometheus.metrics.core.datapoints.DistributionDataPoint;
import io.prometheus.metrics.core.metrics.Counter;
import io.prometheus.metrics.core.metrics.CounterWithCallback;
import io.prometheus.metrics.core.metrics.Gauge;
import io.prometheus.metrics.core.metrics.GaugeWithCallback;
import io.prometheus.metrics.core.metrics.Histogram;
import io.prometheus.metrics.expositionformats.PrometheusTextFormatWriter;
import io.prometheus.metrics.model.registry.PrometheusRegistry;
import io.tandem.LifelineStatus;
import io.tandem.RequestReport;
import io.tandem.TandemClient;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.function.IntSupplier;

/** What this server counts, and the cluster's load as this node sees it, for Prometheus. Safe for any thread. */
public final class HttpMetrics {

    /** Content type of {@link #render()}. */
    public static final String CONTENT_TYPE = PrometheusTextFormatWriter.CONTENT_TYPE;

    private static final double NANOS = 1e9;
    private static final double[] TTFT_SECONDS = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60};
    private static final double[] ITL_SECONDS = {
        0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5
    };
    private static final double[] WHOLE_SECONDS = {0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600};
    private static final List<String> ENDS = List.of("stop", "length", "cancelled", "deadline", "error");
    private static final Path PROCESS_STATUS = Path.of("/proc/self/status");

    private final PrometheusRegistry registry = new PrometheusRegistry();
    private final PrometheusTextFormatWriter writer = PrometheusTextFormatWriter.create();
    private final Counter requests = counter("tandem_http_requests_total", "Answered requests", "route", "status");
    private final CounterDataPoint rejected = counter(
                    "tandem_http_rejected_total", "Requests refused by this server's own limits")
            .labelValues();
    private final CounterDataPoint disconnected = counter(
                    "tandem_http_disconnects_total", "Generations cancelled because their client left or took nothing")
            .labelValues();
    private final Gauge active = Gauge.builder()
            .name("tandem_http_active_generation_requests")
            .help("Generation requests in progress")
            .register(registry);
    private final DistributionDataPoint ttft = histogram(
            "tandem_time_to_first_token_seconds", "From a request's arrival to its first token", TTFT_SECONDS);
    private final DistributionDataPoint itl =
            histogram("tandem_inter_token_latency_seconds", "Between tokens of one choice", ITL_SECONDS);
    private final DistributionDataPoint endToEnd =
            histogram("tandem_request_seconds", "From a request's arrival to the end of its output", WHOLE_SECONDS);
    private final Counter generations = counter(
            "tandem_generations_total", "Generations (choices of requests) that ended, by how", "finish_reason");
    private final DistributionDataPoint transferSeconds =
            histogram("tandem_kv_transfer_seconds", "KV transfer of one request", TTFT_SECONDS);
    private final CounterDataPoint promptTokens = counter(
                    "tandem_prompt_tokens_total", "Prompt tokens of generations that ended, however they did")
            .labelValues();
    private final CounterDataPoint cachedTokens = counter(
                    "tandem_cached_prompt_tokens_total", "Prompt tokens no GPU had to compute")
            .labelValues();
    private final CounterDataPoint outputTokens =
            counter("tandem_output_tokens_total", "Their output tokens").labelValues();
    private final CounterDataPoint kvBytes = counter(
                    "tandem_kv_transfer_bytes_total", "KV bytes moved between GPUs for this node's requests")
            .labelValues();
    private final CounterDataPoint kvBlocks = counter(
                    "tandem_kv_transfer_blocks_total", "KV blocks moved between GPUs for this node's requests")
            .labelValues();
    private final CounterDataPoint kvDirectBlocks = counter(
                    "tandem_kv_direct_blocks_total", "Those that went from device to device, past the host's memory")
            .labelValues();
    private final CounterDataPoint checksumFailures = counter(
                    "tandem_kv_checksum_failures_total", "KV blocks that arrived damaged")
            .labelValues();
    private final CounterDataPoint resumes = counter(
                    "tandem_request_resumes_total", "Times another GPU took a request over")
            .labelValues();

    public HttpMetrics(TandemClient client) {
        // A rate over a series that begins with its first event misses that one.
        ENDS.forEach(generations::initLabelValues);
        registerProcess();
        AdmissionMetrics.register(registry, client);
        RoutingMetrics.register(registry, client);
        lifelines(client);
        gauge("tandem_active_requests", "Requests of this node that are not over", client::activeRequests);
        gauge(
                "tandem_ready",
                "1 when the cluster can serve",
                () -> client.clusterStatus().ready() ? 1 : 0);
        WorkerMetrics.register(registry, client);
    }

    private void lifelines(TandemClient client) {
        GaugeWithCallback.builder()
                .name("tandem_lifelines")
                .help("Processes whose death this node would see at once (open), or by time-outs only (missing)")
                .labelNames("state")
                .callback(out -> {
                    LifelineStatus s = client.lifelines();
                    out.call(s.open(), "open");
                    out.call(s.watched() - s.open(), "missing");
                })
                .register(registry);
        CounterWithCallback.builder()
                .name("tandem_process_deaths_total")
                .help("Processes found dead by their lifelines")
                .callback(out -> out.call((double) client.lifelines().deaths()))
                .register(registry);
        CounterWithCallback.builder()
                .name("tandem_process_false_alarms_total")
                .help("Those of them that were reached again")
                .callback(out -> out.call((double) client.lifelines().falseAlarms()))
                .register(registry);
    }

    /** A request was answered (for a stream: its head was sent). */
    public void answered(String route, int status) {
        requests.labelValues(route, Integer.toString(status)).inc();
    }

    public void rejected() {
        rejected.inc();
    }

    public void disconnected() {
        disconnected.inc();
    }

    /** A generation request began (+1) or ended (-1). */
    public void active(int change) {
        active.inc(change);
    }

    public void firstToken(long nanos) {
        ttft.observe(nanos / NANOS);
    }

    /** Time between tokens, the mean where several came together. */
    public void nextTokens(long nanos, int tokens) {
        itl.observe(nanos / NANOS / Math.max(1, tokens));
    }

    /** A choice's output ended by itself. */
    public void finished(long nanos) {
        endToEnd.observe(nanos / NANOS);
    }

    /**
     * A choice ended, by itself or not: what it took was taken all the same.
     *
     * @param how "stop", "length", "cancelled", "deadline" or "error"
     */
    public void ended(String how, RequestReport report) {
        generations.labelValues(how).inc();
        promptTokens.inc(report.promptTokens());
        cachedTokens.inc(report.cachedPromptTokens());
        outputTokens.inc(report.outputTokens());
        kvBytes.inc(report.kvBytes());
        kvBlocks.inc(report.kvBlocks());
        kvDirectBlocks.inc(report.kvDirectBlocks());
        checksumFailures.inc(report.checksumFailures());
        resumes.inc(report.resumes());
        if (report.kvBlocks() > 0) {
            transferSeconds.observe(report.kvTransferMs() / 1e3);
        }
    }

    /** All metrics as Prometheus text, UTF-8. */
    public byte[] render() {
        ByteArrayOutputStream out = new ByteArrayOutputStream(16 * 1024);
        try {
            writer.write(out, registry.scrape());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return out.toByteArray();
    }

    private Counter counter(String name, String help, String... labels) {
        return Counter.builder().name(name).help(help).labelNames(labels).register(registry);
    }

    private DistributionDataPoint histogram(String name, String help, double[] upperSeconds) {
        return Histogram.builder()
                .name(name)
                .help(help)
                .classicOnly()
                .classicUpperBounds(upperSeconds)
                .register(registry)
                .labelValues();
    }

    private void gauge(String name, String help, IntSupplier value) {
        GaugeWithCallback.builder()
                .name(name)
                .help(help)
                .callback(out -> out.call(value.getAsInt()))
                .register(registry);
    }

    private void registerProcess() {
        CounterWithCallback.builder()
                .name("process_cpu_seconds_total")
                .help("CPU time of this process")
                .callback(out -> out.call(ProcessHandle.current()
                                .info()
                                .totalCpuDuration()
                                .orElse(Duration.ZERO)
                                .toNanos()
                        / NANOS))
                .register(registry);
        GaugeWithCallback.builder()
                .name("process_resident_memory_bytes")
                .help("Resident memory of this process; absent where the system does not tell")
                .callback(out -> {
                    long bytes = residentBytes();
                    if (bytes > 0) {
                        out.call((double) bytes);
                    }
                })
                .register(registry);
        Runtime runtime = Runtime.getRuntime();
        GaugeWithCallback.builder()
                .name("jvm_heap_used_bytes")
                .help("Java heap in use, garbage included")
                .callback(out -> out.call((double) (runtime.totalMemory() - runtime.freeMemory())))
                .register(registry);
    }

    private static long residentBytes() {
        try {
            for (String line : Files.readAllLines(PROCESS_STATUS)) {
                if (line.startsWith("VmRSS:")) {
                    return Long.parseLong(line.replaceAll("[^0-9]", "")) * 1024;
                }
            }
        } catch (IOException e) {
            return 0;
        }
        return 0;
    }
}
