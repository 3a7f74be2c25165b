package io.tandem;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.typesafe.config.Config;
import com.typesafe.config.ConfigFactory;
import io.tandem.request.RequestSettings;
import io.tandem.routing.RoutingSettings;
import io.tandem.worker.WorkerSettings;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What is out of range is refused at the start by the name of its key, and not found out by a timer that spins or a request that hangs. */
class SettingsTest {
    private static void read(String override) {
        Config all = ConfigFactory.parseString(override)
                .withFallback(ConfigFactory.parseString("tandem.node.model.path = model.gguf"))
                .withFallback(ConfigFactory.load())
                .resolve();
        NodeSettings.from(all);
        RequestSettings.from(all);
        WorkerSettings.from(all);
        RoutingSettings.from(all);
    }

    @Test
    void shouldTakeItsOwnDefaults() {
        read("");
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "tandem.node.port = 70000",
                "tandem.node.seed-wait = 11m",
                "tandem.node.start-timeout = 0s",
                "tandem.node.worker-timeout = 0s",
                "tandem.node.drain-timeout = 0s",
                "tandem.node.stop-drain-timeout = 11m",
                "tandem.request.max-active = 0",
                "tandem.request.default-timeout = 0s",
                "tandem.request.retry-delay = 0s",
                "tandem.request.ask-interval = 0s",
                "tandem.request.max-attempts = 0",
                "tandem.request.kept-reports = 0",
                "tandem.worker.report-interval = 2s",
                "tandem.worker.tick-interval = 0s",
                "tandem.worker.wake-interval = 0s",
                "tandem.worker.holding-interval = 0s",
                "tandem.worker.max-works = 0",
                "tandem.worker.kept-block-event-words = -1",
                "tandem.worker.max-moves = 0",
                "tandem.worker.step-timeout = 2h",
                "tandem.routing.prior.step = 0s",
                "tandem.routing.transfer-latency = 2m",
                "tandem.routing.session-bonus = 2m",
                "tandem.routing.session-ttl = 25h",
                "tandem.routing.index.report-wait = 2m",
                "tandem.routing.index.ready-wait = 11m"
            })
    void shouldRefuseWhatIsOutOfRange(String setting) {
        String key = setting.substring(0, setting.indexOf(' '));
        String message = assertThrows(IllegalArgumentException.class, () -> read(setting))
                .getMessage();
        assertEquals(key, message.substring(0, message.indexOf(' ')));
        assertTrue(message.contains(" must be "), message);
    }
}
