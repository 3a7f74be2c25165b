package io.tandem.cli;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import org.junit.jupiter.api.Test;

class ExplainTest {
    private static String text(String observed) throws IOException {
        String attempt =
                "{\"request_id\": \"r1\", \"decisions\": [{\"attempt\": 1, \"reason\": \"least cost\", " + observed
                        + " \"plans\": [{\"chosen\": true, \"predicted_ttft_ms\": 150, \"predicted_itl_ms\": 9},"
                        + "{\"chosen\": false, \"predicted_ttft_ms\": 700, \"predicted_itl_ms\": 7}]}]}";
        return Explain.text(new ObjectMapper().readTree(attempt));
    }

    @Test
    void shouldSetWhatCameBesideWhatWasPredicted() throws IOException {
        String text = text("\"observed_ttft_ms\": 200, \"observed_itl_ms\": 7.5,");
        assertTrue(
                text.contains(
                        "first token after 200.00 ms, predicted 150.00 (-25 %); between tokens 7.50 ms, predicted 9.00 (+20 %)"),
                text);
    }

    @Test
    void shouldSayNothingOfWhatWasNotSeen() throws IOException {
        assertTrue(text("\"observed_ttft_ms\": 200, \"observed_itl_ms\": null,").contains("(-25 %)\n"));
        assertFalse(text("").contains("predicted 150"));
    }
}
