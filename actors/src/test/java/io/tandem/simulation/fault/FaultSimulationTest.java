package io.tandem.simulation.fault;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;

/** A few hundred seeds a day; {@code tandem fault-sim} runs as many as one likes. */
class FaultSimulationTest {
    private static final int KNOWN_SEEDS = 160;
    private static final int NEW_SEEDS = 40;

    private static List<FaultReport> run(LongStream seeds) {
        return seeds.parallel().mapToObj(FaultSimulation::run).toList();
    }

    @Test
    void shouldHoldItsInvariantsUnderKnownSeeds() {
        List<FaultReport> reports = run(LongStream.rangeClosed(1, KNOWN_SEEDS));
        int requests = reports.stream().mapToInt(FaultReport::requests).sum();
        int finished = reports.stream().mapToInt(FaultReport::finished).sum();
        assertTrue(requests > 20 * KNOWN_SEEDS, requests + " requests");
        assertTrue(finished > 0.8 * requests, finished + " of " + requests + " requests got their whole answer");
        assertTrue(reports.stream().mapToInt(FaultReport::resumed).sum() > KNOWN_SEEDS, "requests were resumed");
        assertTrue(reports.stream().mapToInt(FaultReport::endedWithNode).sum() > 0, "nodes died with their requests");
        assertTrue(reports.stream().mapToInt(FaultReport::refused).sum() > KNOWN_SEEDS / 2, "the door refused some");
        assertTrue(reports.stream().mapToInt(FaultReport::moves).sum() > KNOWN_SEEDS / 8, "sequences moved");
        assertTrue(reports.stream().mapToLong(FaultReport::roleChanges).sum() > KNOWN_SEEDS, "roles changed");
    }

    /** What breaks here prints its seed: {@code tandem fault-sim --seed N} shows it again. */
    @Test
    void shouldHoldItsInvariantsUnderSeedsNobodyHasSeen() {
        SplittableRandom random = new SplittableRandom(System.nanoTime());
        assertEquals(NEW_SEEDS, run(random.longs(NEW_SEEDS)).size());
    }

    @Test
    void shouldRunASeedTheSameWayEachTime() {
        for (long seed = 7; seed < 12; seed++) {
            assertEquals(FaultSimulation.run(seed), FaultSimulation.run(seed));
        }
    }
}
