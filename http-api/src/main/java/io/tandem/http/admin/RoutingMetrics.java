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
import io.tandem.RoutingStatus;
import io.tandem.RoutingStatus.Index;
import io.tandem.TandemClient;
import java.util.ArrayList;
import java.util.List;
import java.util.function.ToLongFunction;

/** What this node's router knows and how well it predicts, for Prometheus. */
final class RoutingMetrics {

    private RoutingMetrics() {}

    static void register(PrometheusRegistry registry, TandemClient client) {
        gauge(registry, client, "tandem_block_index_blocks", "Distinct KV blocks known of all workers", Index::blocks);
        gauge(registry, client, "tandem_block_index_bytes", "Memory of the block index", Index::bytes);
        counter(
                registry,
                client,
                "tandem_block_index_evicted_blocks_total",
                "KV blocks the index gave up for want of room",
                Index::evictedBlocks);
        counter(registry, client, "tandem_block_events_total", "Block events taken in", Index::events);
        counter(
                registry,
                client,
                "tandem_block_event_bytes_total",
                "Bytes of block events and snapshots taken in",
                i -> i.words() * Long.BYTES);
        counter(
                registry,
                client,
                "tandem_block_event_gaps_total",
                "Times that block events were missing and asked for",
                Index::gaps);
        counter(
                registry,
                client,
                "tandem_block_event_duplicates_total",
                "Block events that came again",
                Index::duplicates);
        counter(
                registry,
                client,
                "tandem_block_snapshots_total",
                "Workers heard out from the beginning",
                Index::snapshots);
        counter(
                registry,
                client,
                "tandem_block_events_refused_total",
                "Messages of workers that were no list of block events",
                Index::refused);
        registry.register((Collector) () -> errors(client));
    }

    private static void counter(
            PrometheusRegistry registry, TandemClient client, String name, String help, ToLongFunction<Index> value) {
        CounterWithCallback.builder()
                .name(name)
                .help(help)
                .callback(out ->
                        out.call((double) value.applyAsLong(client.routing().index())))
                .register(registry);
    }

    private static void gauge(
            PrometheusRegistry registry, TandemClient client, String name, String help, ToLongFunction<Index> value) {
        GaugeWithCallback.builder()
                .name(name)
                .help(help)
                .callback(out ->
                        out.call((double) value.applyAsLong(client.routing().index())))
                .register(registry);
    }

    private static HistogramSnapshot errors(TandemClient client) {
        List<HistogramDataPointSnapshot> points = new ArrayList<>();
        for (RoutingStatus.Errors e : client.routing().errors()) {
            List<Double> bounds = new ArrayList<>(e.upper());
            bounds.add(Double.POSITIVE_INFINITY);
            points.add(new HistogramDataPointSnapshot(
                    ClassicHistogramBuckets.of(bounds, new ArrayList<>(e.counts())),
                    e.sum(),
                    Labels.of("figure", e.figure(), "role", e.role(), "side", e.side()),
                    null,
                    0));
        }
        MetricMetadata metadata = new MetricMetadata(
                "tandem_route_prediction_error_ratio",
                "Relative error of predictions, |predicted / observed - 1|, by figure, role of the worker and side");
        return new HistogramSnapshot(metadata, points);
    }
}
