package io.tandem.cluster;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

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

    @Test
    void shouldLeaveNoMessageBehindForAShardThatIsHandedOver() {
        Logger regions = (Logger) LoggerFactory.getLogger("org.apache.pekko.cluster.sharding.ShardRegion");
        ListAppender<ILoggingEvent> log = new ListAppender<>();
        log.start();
        regions.addAppender(log);
        try (EmbeddedCluster cluster = new EmbeddedCluster(
                Map.of("left", "mixed", "right", "mixed"), Map.of("tandem.worker.wake-interval", "5ms"))) {
            int[] prompt = {11, 12, 13};
            assertEquals(4, cluster.start(prompt, 4).tokens().length);
            cluster.stop("left");
            cluster.stop("right");
        } finally {
            regions.detachAppender(log);
        }
        Set<String> waits = List.copyOf(log.list).stream()
                .map(ILoggingEvent::getFormattedMessage)
                .filter(m -> m.contains("timed out"))
                .collect(Collectors.toSet());
        assertTrue(waits.isEmpty(), waits::toString);
    }
}
