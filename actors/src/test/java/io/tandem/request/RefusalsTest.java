package io.tandem.request;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.tandem.GenerationException;
import io.tandem.admission.Applicant;
import io.tandem.admission.Forecast;
import io.tandem.admission.ServiceClass;
import io.tandem.admission.Verdict;
import java.util.HashSet;
import java.util.Set;
import org.junit.jupiter.api.Test;

class RefusalsTest {

    @Test
    void shouldSpreadRetryAfterByAQuarterAndNeverShortenIt() {
        Set<Integer> seen = new HashSet<>();
        for (long id = 0; id < 1000; id++) {
            int seconds = Refusals.retryAfterSeconds(20_000_000_000L, id);
            assertTrue(seconds >= 20 && seconds <= 25, seconds + " s");
            seen.add(seconds);
        }
        assertTrue(seen.size() >= 5, seen.toString());
        assertEquals(1, Refusals.retryAfterSeconds(1, 0));
        assertEquals(3600, Refusals.retryAfterSeconds(Long.MAX_VALUE / 2, 7));
    }

    @Test
    void shouldNameTheClassWhatWasPredictedAndWhatWasPromised() {
        ServiceClass c = new ServiceClass("priority", 500_000_000, 25_000_000, 1, 1, false, 10);
        Applicant applicant = new Applicant(0, "a", c, 10, 10, 0, 1_000_000_000);
        Forecast forecast = new Forecast(1, true, false, "g", 1e9, 2e9, 1e9, 10, 40e6, 0);
        GenerationException ttft =
                Refusals.of(new Verdict.Reject(applicant, Verdict.Cause.TTFT, forecast, 2.34e9, 1_840_000_000, 0));
        assertEquals(GenerationException.Kind.OVERLOADED, ttft.kind());
        assertEquals(
                "service_tier 'priority' promises a first token within 500 ms, and 2340 ms are predicted; try again in 2 s",
                ttft.getMessage());
        assertEquals(2, ttft.retryAfterSeconds());
        assertEquals(
                new GenerationException.Refusal("priority", "ttft", 2340, 500, 40, 25),
                ttft.refusal().orElseThrow());
        GenerationException itl = Refusals.of(new Verdict.Reject(applicant, Verdict.Cause.ITL, forecast, 2e9, 1, 0));
        assertTrue(
                itl.getMessage()
                        .startsWith("service_tier 'priority' promises 25 ms between tokens, and 40 ms are predicted"),
                itl.getMessage());
        GenerationException near =
                Refusals.of(new Verdict.Reject(applicant, Verdict.Cause.TTFT, forecast, 480e6, 1, 0));
        assertTrue(near.getMessage().contains("480 ms are predicted, too near to be sure; "), near.getMessage());
    }

    @Test
    void shouldTellFewMillisecondsApart() {
        ServiceClass c = new ServiceClass("fast", 500_000_000, 6_600_000, 1, 1, false, 10);
        Applicant applicant = new Applicant(0, "a", c, 10, 10, 0, 1_000_000_000);
        Forecast forecast = new Forecast(1, true, false, "g", 1e9, 2e9, 1e9, 10, 6.94e6, 0);
        GenerationException itl = Refusals.of(new Verdict.Reject(applicant, Verdict.Cause.ITL, forecast, 2e9, 1, 0));
        assertTrue(
                itl.getMessage().contains("promises 6.6 ms between tokens, and 6.9 ms are predicted; "),
                itl.getMessage());
    }
}
