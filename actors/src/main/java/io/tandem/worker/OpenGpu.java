package io.tandem.worker;

import io.tandem.compute.ComputeBackend;
import io.tandem.engine.Engine;
import io.tandem.engine.EngineLoop;
import io.tandem.kvcache.KvMemory;
import io.tandem.transfer.BlockTransport;
import java.io.IOException;
import java.time.Duration;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** What a worker has opened: what computes, what moves blocks, and the engine between them; and how they are let go of. Not thread-safe. */
final class OpenGpu {
    private static final Logger LOG = LoggerFactory.getLogger(OpenGpu.class);

    /** For peers to close this worker's blocks before they are freed. */
    private static final Duration PEERS_PATIENCE = Duration.ofSeconds(2);

    private final String gpuId;
    private final ComputeBackend backend;
    private final BlockTransport transport;
    private KvMemory kv;
    private EngineLoop loop;

    /** Whether blocks leave from device to device, or why not; for people. */
    private String direct = "";

    private OpenGpu(String gpuId, ComputeBackend backend, BlockTransport transport) {
        this.gpuId = gpuId;
        this.backend = backend;
        this.transport = transport;
    }

    /** Takes seconds; both or none. */
    static OpenGpu open(String gpuId, GpuHost host) throws IOException {
        ComputeBackend backend = host.backends().open(gpuId);
        try {
            return new OpenGpu(gpuId, backend, host.transports().open(gpuId));
        } catch (IOException | RuntimeException | Error e) {
            isDone(gpuId, "close the backend", backend::close);
            throw e;
        }
    }

    ComputeBackend backend() {
        return backend;
    }

    BlockTransport transport() {
        return transport;
    }

    /** Gives the engine its thread. */
    EngineLoop run(Engine engine, int commandQueueEntries) {
        kv = engine.kvMemory();
        loop = new EngineLoop(gpuId, engine, commandQueueEntries);
        return loop;
    }

    /** Blocks of workers on this host need not pass through its memory. */
    String enableDirect(boolean allowed, long epoch) {
        if (!allowed) {
            direct = "none (tandem.transfer.direct is off)";
        } else if (kv.peers().isEmpty()) {
            direct = "none (not with this backend)";
        } else {
            PeerPath path = new PeerPath(kv.peers().get());
            transport.enableDirect(path, epoch);
            direct = path.name();
        }
        return direct;
    }

    /** How blocks leave: "cuda-ipc; /dev/shm/x: direct; /dev/shm/y: stream, the receiver is on another host". */
    String transferPaths() {
        return Stream.concat(Stream.of(direct), transport.describePeers().stream())
                .collect(Collectors.joining("; "));
    }

    /** Transfers end before the memory they touch goes, and none of these steps keeps the next ones from being done. */
    void close() {
        endTransfers();
        if (loop != null) {
            isDone(gpuId, "end the engine", loop::close);
        }
        // A step that goes on still reads the weights.
        if (loop == null || loop.hasEnded()) {
            isDone(gpuId, "close the backend", backend::close);
        }
    }

    private void endTransfers() {
        boolean unread = kv == null || isDone(gpuId, "have peers close its blocks", this::endDirect);
        boolean ended = isDone(gpuId, "end its transfers", transport::close);
        if (kv != null && !(unread && ended)) {
            kv.keep();
        }
    }

    private void endDirect() {
        if (!transport.endDirect(PEERS_PATIENCE)) {
            kv.keep();
        }
    }

    /** False when it fails, which is said here. */
    private static boolean isDone(String gpuId, String what, Runnable step) {
        try {
            step.run();
            return true;
        } catch (RuntimeException | Error e) {
            LOG.error("GPU {} could not {}", gpuId, what, e);
            return false;
        }
    }
}
