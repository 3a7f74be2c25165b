package io.tandem.node;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

class NodeProcessTest {

    @Test
    void shouldLeaveTheCommonPoolToThoseWhoStopTheNode() throws Exception {
        Process parent = new ProcessBuilder("sleep", "600").start();
        CompletableFuture<Thread> ended = new CompletableFuture<>();
        try {
            NodeProcess.whenGone(parent.pid(), () -> ended.complete(Thread.currentThread()));
            assertFalse(ended.isDone());
        } finally {
            parent.destroyForcibly();
        }
        Thread by = ended.get(60, TimeUnit.SECONDS);
        assertFalse(by.isDaemon() && by.getName().startsWith("ForkJoinPool"), by.toString());
    }

    @Test
    void shouldEndWhenTheParentIsGoneAlready() throws Exception {
        Process parent = new ProcessBuilder("true").start();
        assertTrue(parent.waitFor(60, TimeUnit.SECONDS));
        CompletableFuture<Void> ended = new CompletableFuture<>();
        NodeProcess.whenGone(parent.pid(), () -> ended.complete(null));
        ended.get(60, TimeUnit.SECONDS);
    }
}
