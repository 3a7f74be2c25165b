package io.tandem.routing;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.typesafe.config.ConfigFactory;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class CostSettingsTest {

    private static CostSettings settings(String override) {
        return CostSettings.from(ConfigFactory.parseString("tandem.routing.cost." + override)
                .withFallback(ConfigFactory.defaultReference()));
    }

    @Test
    void shouldReadWhatIsSetAndKeepTheRest() {
        CostSettings settings = settings("decode-backlog-max = 50ms");
        assertEquals(50e6, settings.decodeBacklogNanosMax());
        assertEquals(CostSettings.DEFAULT.latePenalty(), settings.latePenalty());
        assertEquals(CostSettings.DEFAULT, settings("expected-output-tokens = 300"));
    }

    @ParameterizedTest
    @CsvSource({
        "itl-headroom-min = 0, itl-headroom-min",
        "itl-headroom-max = 1.1, itl-headroom-max",
        "itl-headroom-min = 0.95, must not be above itl-headroom-max",
        "pressure-share = 0, pressure-share",
        "late-penalty = 0.5, late-penalty",
        "work-weight = -1, work-weight",
        "decode-backlog-max = 2m, decode-backlog-max",
        "expected-output-tokens = 0, expected-output-tokens"
    })
    void shouldNameTheSettingAtFault(String setting, String part) {
        String message = assertThrows(IllegalArgumentException.class, () -> settings(setting))
                .getMessage();
        assertTrue(message.startsWith("tandem.routing.cost.") && message.contains(part), message);
    }
}
