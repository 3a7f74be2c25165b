package io.tandem.routing;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.tandem.engine.EngineRole;
import io.tandem.routing.PredictionErrors.Figure;
import io.tandem.routing.PredictionErrors.Histogram;
import java.util.List;
import org.junit.jupiter.api.Test;

class PredictionErrorsTest {
    private final PredictionErrors errors = new PredictionErrors();

    @Test
    void shouldTellTooMuchFromTooLittleByRole() {
        errors.observe(Figure.TTFT, EngineRole.PREFILL, 129e6, 100e6);
        errors.observe(Figure.TTFT, EngineRole.PREFILL, 100e6, 100e6);
        errors.observe(Figure.TTFT, EngineRole.MIXED, 75e6, 100e6);
        errors.observe(Figure.ITL, EngineRole.MIXED, 12 * 10e6, 10e6);
        List<Histogram> all = errors.histograms();
        assertEquals(3, all.size());
        Histogram over = all.get(0);
        assertEquals("ttft prefill over", over.figure() + " " + over.role() + " " + over.side());
        assertEquals(List.of(1L, 0L, 0L, 0L, 1L, 0L, 0L, 0L, 0L, 0L, 0L), over.counts());
        assertEquals(0.29, over.sum(), 1e-9);
        assertEquals("under", all.get(1).side());
        assertEquals(1, all.get(1).counts().get(4), "a quarter too little");
        assertEquals(1, all.get(2).counts().get(10), "eleven times too much");
    }

    @Test
    void shouldLeaveOutWhatWasNotPredictedOrNotSeen() {
        errors.observe(Figure.TTFT, EngineRole.MIXED, 0, 100);
        errors.observe(Figure.TTFT, EngineRole.MIXED, 100, 0);
        errors.observe(Figure.TTFT, EngineRole.MIXED, Double.NaN, 100);
        assertTrue(errors.histograms().isEmpty());
    }
}
