package io.tandem.scheduling;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.typesafe.config.ConfigFactory;
import io.tandem.compute.ForwardBatch;
import io.tandem.compute.ForwardOutput;
import io.tandem.engine.EngineRole;
import io.tandem.engine.EngineSettings;
import io.tandem.engine.SequenceSpec;
import io.tandem.kvcache.BlockHash;
import io.tandem.kvcache.BlockPool;
import io.tandem.sampling.SamplingParams;
import io.tandem.scheduling.Sequence.Phase;
import io.tandem.scheduling.Sequence.Purpose;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;

class SchedulerTest {
    private static final int BLOCK_TOKENS = 16;

    private final EngineSettings settings = EngineSettings.from(ConfigFactory.parseString(
                    "tandem.engine { max-sequences = 4, max-batch-tokens = 64, prefill-chunk-tokens = 16"
                            + ", mixed-chunk-tokens = 16, decode-chunk-tokens = 16, prefix-cache = off }")
            .withFallback(ConfigFactory.load()));
    private final BlockPool pool = new BlockPool(5);
    private final Scheduler scheduler = new Scheduler(settings, pool, BlockHash.of("tiny", BLOCK_TOKENS));
    private final Pass pass = new Pass(new ForwardBatch(64, 4), new ForwardOutput(4, 8, false));

    private Sequence waiting(long key, int tokens, int promptTokens, Purpose purpose) {
        SequenceSpec spec = new SequenceSpec(
                new int[tokens], promptTokens, 40, SamplingParams.greedy(), new int[0], 0, Long.MAX_VALUE);
        Sequence s = new Sequence(key, spec, purpose, BLOCK_TOKENS, promptTokens + 40, 0);
        scheduler.waiting().addLast(s);
        return s;
    }

    /** Schedules a pass and has it begin, as an engine does before the one before it is over. */
    private List<Sequence> begun() {
        scheduler.schedule(EngineRole.MIXED, pass);
        pass.begin(0);
        return Arrays.asList(pass.sequences).subList(0, pass.batch.sequences);
    }

    /** The one behind it chose its only token in the pass that runs still. */
    @Test
    void shouldLookAtWhoeverStandsBehindOneThatIsPreempted() {
        Sequence decodes = waiting(1, 16, 16, Purpose.GENERATE);
        while (decodes.length < 31) {
            begun();
        }
        Sequence resumed = waiting(2, 17, 16, Purpose.PREFILL_ONLY);
        assertEquals(List.of(decodes, resumed), begun());
        pool.allocate();
        assertEquals(List.of(decodes, resumed), begun());
        assertEquals(33, decodes.length);
        assertTrue(resumed.isFull());
        assertEquals(List.of(), begun());
        assertEquals(Phase.WAITING, decodes.phase);
        assertEquals(18, resumed.length);
    }
}
