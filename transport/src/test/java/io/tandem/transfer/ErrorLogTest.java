package io.tandem.transfer;

import static org.junit.jupiter.api.Assertions.assertEquals;

import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import java.io.IOException;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.slf4j.LoggerFactory;

class ErrorLogTest {
    @Test
    void shouldTellOfAnErrorThatRepeatsOnceASecond() {
        Logger logger = (Logger) LoggerFactory.getLogger("errors of the test");
        ListAppender<ILoggingEvent> lines = new ListAppender<>();
        lines.start();
        logger.addAppender(lines);
        long[] now = {0};
        ErrorLog log = new ErrorLog(logger, () -> now[0]);
        for (int i = 0; i < 2_500; i++) {
            log.onError(new IOException("no way to a"));
            now[0] += 1_000_000;
        }
        log.onError(new IOException("no way to b"));
        assertEquals(
                List.of(
                        "a transfer agent goes on after java.io.IOException: no way to a",
                        "a transfer agent goes on after java.io.IOException: no way to a; 999 more of the one before",
                        "a transfer agent goes on after java.io.IOException: no way to a; 999 more of the one before",
                        "a transfer agent goes on after java.io.IOException: no way to b; 499 more of the one before"),
                lines.list.stream()
                        .filter(e -> e.getLevel() == ch.qos.logback.classic.Level.WARN)
                        .map(ILoggingEvent::getFormattedMessage)
                        .toList());
    }
}
