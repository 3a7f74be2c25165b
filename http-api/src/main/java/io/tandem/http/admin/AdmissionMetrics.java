package io.tandem.http.admin;

import io.prometheus.metrics.core.metrics.CounterWithCallback;
import io.prometheus.metrics.core.metrics.GaugeWithCallback;
import io.prometheus.metrics.model.registry.Collector;
import io.prometheus.metrics.model.registry.PrometheusRegistry;
import io.prometheus.metrics.model.snapshots.ClassicHistogramBuckets;
import io.prometheus.metrics.model.snapshots.HistogramSnapshot;
import io.prometheus.metrics.model.snapshots.HistogramSnapshot.HistogramDataPointSnapshot;
import io.prometheus.metrics.model.snapshots.Labels;
import io.prometheus.metrics.model.snapshots.MetricMetadata;
import io.prometheus.metrics.model.snapshots.Unit;
import io.tandem.AdmissionStatus.QueueTimes;
import io.tandem.AdmissionStatus.ServiceTier;
import io.tandem.TandemClient;
import java.util.ArrayList;
import java.util.List;
import java.util.function.ToDoubleFunction;

/** What this node's door counts, for Prometheus. */
final class AdmissionMetrics {

    private AdmissionMetrics() {}

    static void register(PrometheusRegistry registry, TandemClient client) {
        CounterWithCallback.builder()
                .name("tandem_admission_requests_total")
                .help("What became of requests at the door; 'queued' is counted besides the others")
                .labelNames("class", "tenant", "outcome")
                .callback(out -> client.admission()
                        .outcomes()
                        .forEach(o -> out.call((double) o.count(), o.serviceClass(), o.tenant(), o.outcome())))
                .register(registry);
        gauge(registry, client, "tandem_admission_queued_requests", "Requests that wait", ServiceTier::queued);
        gauge(
                registry,
                client,
                "tandem_admission_running_requests",
                "Requests sent on, not over",
                ServiceTier::running);
        gauge(
                registry,
                client,
                "tandem_admission_ttft_target_seconds",
                "Promised time to first token",
                c -> c.ttftTargetMs() / 1e3);
        gauge(
                registry,
                client,
                "tandem_admission_itl_target_seconds",
                "Promised time between tokens",
                c -> c.itlTargetMs() / 1e3);
        registry.register((Collector) () -> queueSeconds(client));
    }

    private static void gauge(
            PrometheusRegistry registry,
            TandemClient client,
            String name,
            String help,
            ToDoubleFunction<ServiceTier> value) {
        GaugeWithCallback.builder()
                .name(name)
                .help(help)
                .labelNames("class")
                .callback(out -> client.admission().classes().forEach(c -> out.call(value.applyAsDouble(c), c.name())))
                .register(registry);
    }

    private static HistogramSnapshot queueSeconds(TandemClient client) {
        List<HistogramDataPointSnapshot> points = new ArrayList<>();
        for (ServiceTier c : client.admission().classes()) {
            QueueTimes times = c.queueTimes();
            List<Double> bounds = new ArrayList<>(times.upperSeconds());
            bounds.add(Double.POSITIVE_INFINITY);
            points.add(new HistogramDataPointSnapshot(
                    ClassicHistogramBuckets.of(bounds, new ArrayList<>(times.counts())),
                    times.sumSeconds(),
                    Labels.of("class", c.name()),
                    null,
                    0));
        }
        MetricMetadata metadata = new MetricMetadata(
                "tandem_admission_queue_seconds", "Time that requests waited before they were sent on", Unit.SECONDS);
        return new HistogramSnapshot(metadata, points);
    }
}
