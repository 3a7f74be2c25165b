package io.tandem.http.openai;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.typesafe.config.ConfigFactory;
import java.time.Duration;
import org.junit.jupiter.api.Test;

class HttpSettingsTest {
    private static HttpSettings settings(String overrides) {
        return HttpSettings.of(ConfigFactory.parseString(overrides)
                .withFallback(ConfigFactory.load())
                .resolve());
    }

    @Test
    void shouldNotLetTheConnectionEndBeforeTheAnswerMay() {
        IllegalArgumentException e = assertThrows(
                IllegalArgumentException.class, () -> settings("tandem.http.generation-timeout = 11 minutes"));
        assertTrue(
                e.getMessage().startsWith("tandem.http.pekko-http-server.idle-timeout is 11 minutes"), e.getMessage());
        String longer = "tandem.http { generation-timeout = 11 minutes, pekko-http-server.idle-timeout = ";
        assertEquals(Duration.ofMinutes(11), settings(longer + "infinite }").generationTimeout());
        assertEquals(Duration.ofMinutes(11), settings(longer + "670 s }").generationTimeout());
    }

    @Test
    void shouldNameTheKeyAndItsRange() {
        IllegalArgumentException e =
                assertThrows(IllegalArgumentException.class, () -> settings("tandem.http.max-choices = 0"));
        assertEquals("tandem.http.max-choices must be from 1 to 1024, not 0", e.getMessage());
    }
}
