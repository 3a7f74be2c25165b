package io.tandem.cluster;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.slf4j.LoggerFactory;

/** An orderly stop waits for nothing that cannot come: a message that waits for a shard keeps its region from ending for ten seconds. */
class NodeStopTest {

    /** Messages of a logger at WARN or above while {@code work} runs. */
    private static Set<String> warnings(String logger, Runnable work) {
        Logger heard = (Logger) LoggerFactory.getLogger(logger);
        Level before = heard.getLevel();
        ListAppender<ILoggingEvent> log = new ListAppender<>();
        log.start();
        heard.setLevel(Level.WARN);
        heard.addAppender(log);
        try {
            work.run();
        } finally {
            heard.detachAppender(log);
            heard.setLevel(before);
        }
        return List.copyOf(log.list).stream()
                .map(ILoggingEvent::getFormattedMessage)
                .collect(Collectors.toSet());
    }

    @Test
    void shouldLeaveNoMessageBehindForAShardThatIsHandedOver() {
        Set<String> seen = warnings("org.apache.pekko.cluster.sharding.ShardRegion", () -> {
            try (EmbeddedCluster cluster = new EmbeddedCluster(
                    Map.of("left", "mixed", "right", "mixed"), Map.of("tandem.worker.wake-interval", "5ms"))) {
                int[] prompt = {11, 12, 13};
                assertEquals(4, cluster.start(prompt, 4).tokens().length);
                cluster.stop("left");
                cluster.stop("right");
            }
        });
        assertTrue(seen.stream().noneMatch(m -> m.contains("timed out")), seen::toString);
    }

    @Test
    void shouldWaitForNobodyToTakeOverWhenAllStopAtOnce() {
        Set<String> seen = warnings("io.tandem.GracefulStop", () -> {
            try (EmbeddedCluster cluster =
                    new EmbeddedCluster(Map.of("left", "prefill", "right", "decode"), Map.of())) {
                Concurrently.map(List.of("first", "api", "left", "right"), name -> {
                    cluster.stop(name);
                    return name;
                });
            }
        });
        assertTrue(seen.stream().noneMatch(m -> m.contains("with work left")), seen::toString);
    }
}
