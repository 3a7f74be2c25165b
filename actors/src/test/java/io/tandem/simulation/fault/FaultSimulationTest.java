package io.tandem.simulation.fault;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

/** A few hundred seeds a day; {@code tandem fault-sim} runs as many as one likes. */
class FaultSimulationTest {
    private static final int KNOWN_SEEDS = 160;
    private static final int NEW_SEEDS = 40;

    @Test
    void shouldHoldItsInvariantsUnderKnownSeeds() {
        List<FaultReport> reports = new ArrayList<>();
        for (long seed = 1; seed <= KNOWN_SEEDS; seed++) {
            reports.add(FaultSimulation.run(seed));
        }
        int requests = reports.stream().mapToInt(FaultReport::requests).sum();
        int finished = reports.stream().mapToInt(FaultReport::finished).sum();
        assertTrue(requests > 20 * KNOWN_SEEDS, requests + " requests");
        assertTrue(finished > 0.9 * requests, finished + " of " + requests + " requests got their whole answer");
        assertTrue(reports.stream().mapToInt(FaultReport::resumed).sum() > KNOWN_SEEDS, "requests were resumed");
        assertTrue(reports.stream().mapToInt(FaultReport::endedWithNode).sum() > 0, "nodes died with their requests");
    }

    /** What breaks here prints its seed: {@code tandem fault-sim --seed N} shows it again. */
    @Test
    void shouldHoldItsInvariantsUnderSeedsNobodyHasSeen() {
        SplittableRandom seeds = new SplittableRandom(System.nanoTime());
        for (int i = 0; i < NEW_SEEDS; i++) {
            FaultSimulation.run(seeds.nextLong());
        }
    }

    @Test
    void shouldRunASeedTheSameWayEachTime() {
        for (long seed = 7; seed < 12; seed++) {
            assertEquals(FaultSimulation.run(seed), FaultSimulation.run(seed));
        }
    }
}
