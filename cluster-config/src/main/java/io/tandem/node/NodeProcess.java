package io.tandem.node;

import com.typesafe.config.Config;
import io.tandem.NodeSettings;
import io.tandem.Tandem;
import io.tandem.http.openai.HttpServer;
import java.net.InetSocketAddress;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.apache.pekko.Done;
import org.apache.pekko.actor.CoordinatedShutdown;
import org.apache.pekko.actor.typed.javadsl.Adapter;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** One node as a process: cluster member, and HTTP server where it has the role "api". Ends on SIGTERM, in order. */
public final class NodeProcess {
    private static final long HTTP_START_SECONDS = 30;

    private static final Logger LOG = LoggerFactory.getLogger(NodeProcess.class);

    private NodeProcess() {}

    /** Runs until the process is told to end; answers the exit code. */
    public static int run(Config config) throws Exception {
        try (Tandem tandem = Tandem.start(config)) {
            HttpServer http = null;
            if (tandem.node().roles().contains(NodeSettings.API_ROLE)) {
                http = startHttp(tandem);
                drainOnStop(tandem, http);
                LOG.info("HTTP on {}", place(http.address()));
            }
            // Pekko's own shutdown hook leaves the cluster on SIGTERM; this thread waits for the end of it.
            tandem.awaitStop();
            tandem.startFailure().ifPresent(reason -> System.err.println("tandem: " + reason));
            return tandem.startFailure().isPresent() ? 1 : 0;
        }
    }

    private static String place(InetSocketAddress address) {
        return address.getAddress().isAnyLocalAddress()
                ? "all addresses, port " + address.getPort()
                : "http://" + address.getHostString() + ":" + address.getPort();
    }

    /** On SIGTERM new requests are refused and running ones may end before anything else stops. */
    private static void drainOnStop(Tandem tandem, HttpServer http) {
        CoordinatedShutdown.get(Adapter.toClassic(tandem.system()))
                .addTask(CoordinatedShutdown.PhaseBeforeServiceUnbind(), "drain-http", () -> {
                    LOG.info("this node stops: new requests are refused, running ones may end");
                    return http.drainAndStop().thenApply(done -> Done.getInstance());
                });
    }

    /** A node that stops because of a GPU says that, whatever else fails on the way down. */
    private static HttpServer startHttp(Tandem tandem) throws Exception {
        try {
            return HttpServer.start(tandem.system(), tandem.client(), tandem.config())
                    .toCompletableFuture()
                    .get(HTTP_START_SECONDS, TimeUnit.SECONDS);
        } catch (RuntimeException | ExecutionException | TimeoutException e) {
            throw tandem.startFailure()
                    .<Exception>map(reason -> new IllegalStateException(reason, e))
                    .orElse(e);
        }
    }

    /** Ends this process when the one that started it is gone, so that nothing is left behind by a killed parent. */
    public static void endWith(long parentPid) {
        whenGone(parentPid, () -> {
            LOG.warn("the parent process is gone: this node ends");
            Runtime.getRuntime().exit(0);
        });
    }

    /** On a thread of its own: an exit that took the common pool's only one would wait for tasks that need it. */
    static void whenGone(long pid, Runnable then) {
        Runnable own = () -> Thread.ofPlatform().name("parent-gone").start(then);
        ProcessHandle.of(pid).ifPresentOrElse(p -> p.onExit().thenRun(own), own);
    }
}
