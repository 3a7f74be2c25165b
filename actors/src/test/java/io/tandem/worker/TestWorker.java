package io.tandem.worker;

import io.tandem.compute.BackendInfo;
import io.tandem.engine.EngineRole;
import io.tandem.engine.EngineStats;
import io.tandem.routing.WorkerDirectory;
import io.tandem.routing.WorkerFacts;
import java.util.List;

/** What a worker reports that is not there: an idle one of 40 KV blocks that decodes, but for what a test says of it. */
public final class TestWorker {
    private final String gpu;
    private String node = "host:1";
    private long epoch = 1;
    private String layout = "kv";
    private boolean draining;
    private int maxTokens = 64;
    private EngineStats stats = idle(EngineRole.DECODE, 40);
    private WorkerFacts facts = new WorkerFacts(16, 4, 16, 1, 0, null, 0);

    private TestWorker(String gpu) {
        this.gpu = gpu;
    }

    public static TestWorker named(String gpu) {
        return new TestWorker(gpu);
    }

    /** With all that a report says. */
    public static TestWorker like(WorkerReport r) {
        return named(r.gpuId())
                .on(r.node())
                .epoch(r.epoch())
                .layout(r.kvSignature())
                .draining(r.draining())
                .maxTokens(r.maxTokens())
                .stats(r.stats())
                .facts(r.facts());
    }

    /** Of an engine without work. */
    public static EngineStats idle(EngineRole role, int blocks) {
        return new EngineStats(role, 0, 0, 0, 0, 0, 0, 0, blocks, blocks, 0, 0, 0, 0, 0, 0, 0);
    }

    public TestWorker on(String hostAndPort) {
        node = hostAndPort;
        return this;
    }

    public TestWorker epoch(long number) {
        epoch = number;
        return this;
    }

    public TestWorker layout(String kvSignature) {
        layout = kvSignature;
        return this;
    }

    public TestWorker draining(boolean outOfRouting) {
        draining = outOfRouting;
        return this;
    }

    public TestWorker maxTokens(int tokens) {
        maxTokens = tokens;
        return this;
    }

    public TestWorker role(EngineRole role) {
        return stats(idle(role, stats.totalBlocks()));
    }

    public TestWorker stats(EngineStats load) {
        stats = load;
        return this;
    }

    public TestWorker facts(WorkerFacts predictedWith) {
        facts = predictedWith;
        return this;
    }

    public WorkerReport report() {
        BackendInfo backend = new BackendInfo("cpu-scalar", "1 thread", List.of(), true, 1024);
        return new WorkerReport(
                gpu, node, epoch, "model", "f", layout, backend, "udp", draining, maxTokens, stats, facts);
    }

    public WorkerDirectory.Entry live() {
        return entry(true);
    }

    public WorkerDirectory.Entry lost() {
        return entry(false);
    }

    public WorkerDirectory.Entry entry(boolean live) {
        return new WorkerDirectory.Entry(report(), live, 0);
    }
}
