package io.tandem.worker;

import io.tandem.Failures;
import io.tandem.compute.ComputeBackend;
import java.io.IOException;
import java.util.Collection;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.BiConsumer;

/**
 * Opens the backends of a node while it still joins the cluster, so that each worker finds its own ready. A worker that
 * starts a second time opens anew.
 */
public final class BackendsAhead implements GpuHost.BackendFactory, AutoCloseable {
    private final ConcurrentHashMap<String, CompletableFuture<ComputeBackend>> ahead = new ConcurrentHashMap<>();
    private final ConcurrentHashMap<String, String> gone = new ConcurrentHashMap<>();
    private final GpuHost.BackendFactory opener;
    private final BiConsumer<String, Throwable> onFailure;

    /**
     * Starts opening, each GPU on a thread of its own.
     *
     * @param onFailure told GPU id and cause, once, when a GPU cannot be opened or its worker cannot begin, at the node's start or later
     */
    public BackendsAhead(
            Collection<String> gpuIds, GpuHost.BackendFactory opener, BiConsumer<String, Throwable> onFailure) {
        this.opener = opener;
        this.onFailure = onFailure;
        for (String gpuId : gpuIds) {
            CompletableFuture<ComputeBackend> future = new CompletableFuture<>();
            ahead.put(gpuId, future);
            Thread.ofPlatform().name("open-" + gpuId).daemon().start(() -> {
                try {
                    future.complete(opener.open(gpuId));
                } catch (IOException | RuntimeException | Error e) {
                    future.completeExceptionally(e);
                    cannotStart(gpuId, e);
                }
            });
        }
    }

    @Override
    public ComputeBackend open(String gpuId) throws IOException {
        CompletableFuture<ComputeBackend> started = ahead.remove(gpuId);
        if (started == null) {
            return openAgain(gpuId);
        }
        try {
            return started.join();
        } catch (CompletionException e) {
            throw new IllegalStateException(Failures.text(e), Failures.cause(e));
        }
    }

    /** A GPU that was lost, say; when it cannot be had again in this process, the node is told as at its start. */
    private ComputeBackend openAgain(String gpuId) throws IOException {
        try {
            return opener.open(gpuId);
        } catch (IOException | RuntimeException | Error e) {
            cannotStart(gpuId, e);
            throw e;
        }
    }

    @Override
    public void cannotStart(String gpuId, Throwable why) {
        if (gone.putIfAbsent(gpuId, String.valueOf(why.getMessage())) == null) {
            onFailure.accept(gpuId, why);
        }
    }

    @Override
    public String gone(String gpuId) {
        return gone.getOrDefault(gpuId, "");
    }

    /** Closes what no worker has taken. */
    @Override
    public void close() {
        for (String gpuId : ahead.keySet()) {
            CompletableFuture<ComputeBackend> unused = ahead.remove(gpuId);
            if (unused != null) {
                unused.thenAccept(ComputeBackend::close);
            }
        }
    }
}
