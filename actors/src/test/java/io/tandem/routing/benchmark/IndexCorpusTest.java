package io.tandem.routing.benchmark;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.tandem.routing.benchmark.IndexCorpus.Removed;
import io.tandem.routing.benchmark.IndexCorpus.Stored;
import io.tandem.simulation.Trace;
import io.tandem.simulation.TraceFiles;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashSet;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The benchmark measures what it says: on an excerpt against the plainest code there is, on the whole trace against known sums. */
class IndexCorpusTest {
    private static Trace excerpt() throws IOException {
        return TraceFiles.read(Path.of("src/test/resources/traces/mooncake_conversation_400.jsonl"));
    }

    private static Path whole() {
        Path file =
                Path.of(System.getProperty("tandem.repo.root")).resolve("../shared/traces/mooncake_conversation.jsonl");
        assumeTrue(Files.exists(file), "not here: shared/traces/mooncake_conversation.jsonl");
        return file;
    }

    @ParameterizedTest
    @CsvSource({"8, 0", "8, 500", "3, 2000", "1, 50", "128, 100"})
    void shouldSayWhatAnLruCacheDoes(int workers, int capBlocks) throws IOException {
        long[][] prompts = IndexCorpus.sequences(IndexCorpus.locals(excerpt(), 64));
        IndexCorpus corpus = IndexCorpus.of(prompts, workers, capBlocks);
        List<LinkedHashSet<Long>> caches = new ArrayList<>();
        for (int w = 0; w < workers; w++) {
            caches.add(new LinkedHashSet<>());
        }
        long hits = 0;
        for (int r = 0; r < prompts.length; r++) {
            LinkedHashSet<Long> cache = caches.get(r % workers);
            int kept = capBlocks == 0 ? prompts[r].length : Math.min(capBlocks, prompts[r].length);
            int hit = 0;
            while (hit < kept && cache.contains(prompts[r][hit])) {
                hit++;
            }
            for (int i = kept - 1; i >= 0; i--) {
                cache.remove(prompts[r][i]);
                cache.addLast(prompts[r][i]);
            }
            List<Long> evicted = new ArrayList<>();
            while (capBlocks > 0 && cache.size() > capBlocks) {
                evicted.add(cache.removeFirst());
            }
            check(corpus.removed[r], evicted);
            check(corpus.stored[r], r % workers, prompts[r], hit, kept);
            hits += hit;
        }
        assertEquals(hits, corpus.totals.hitBlocks());
    }

    private static void check(Removed removed, List<Long> evicted) {
        assertArrayEquals(
                evicted.stream().mapToLong(Long::longValue).toArray(),
                removed == null ? new long[0] : removed.hashes());
    }

    private static void check(Stored stored, int worker, long[] prompt, int hit, int kept) {
        if (hit == kept) {
            assertEquals(null, stored);
            return;
        }
        assertEquals(worker, stored.worker());
        assertEquals(hit, stored.position());
        assertEquals(hit == 0 ? 0 : prompt[hit - 1], stored.parent());
        assertArrayEquals(Arrays.copyOfRange(prompt, hit, kept), stored.hashes());
    }

    @Test
    void shouldHashAsOtherRoutersDo() throws IOException {
        long[][] locals = IndexCorpus.locals(excerpt(), 64);
        long[] sequence = IndexCorpus.sequences(locals)[0];
        assertEquals(105, sequence.length);
        for (int b = 0; b < 8; b++) {
            assertEquals(Long.parseUnsignedLong("15480293642169978529"), locals[0][b]);
        }
        assertEquals(Long.parseUnsignedLong("8971873359634632734"), sequence[104]);
    }

    @Test
    void shouldCountTheWholeTraceAsOtherRoutersDo() throws IOException {
        Path file = whole();
        assertTrue(ReferenceFigures.apply(file));
        Trace trace = TraceFiles.read(file);
        for (ReferenceFigures.Corpus row : ReferenceFigures.CORPORA) {
            if (row.blockTokens() >= 64) { // the command checks the rest, which takes longer
                long[][] prompts = IndexCorpus.sequences(IndexCorpus.locals(trace, row.blockTokens()));
                assertEquals(row.totals(), IndexCorpus.of(prompts, row.workers(), row.capBlocks()).totals);
            }
        }
    }

    @Test
    void shouldAnswerOnTheWholeTraceAsOtherIndexesDo() throws Exception {
        long[][] locals = IndexCorpus.locals(TraceFiles.read(whole()), 64);
        for (ReferenceFigures.Answers answers : ReferenceFigures.ANSWERS) {
            var measurement = new IndexMeasurement(locals, answers.workers(), ReferenceFigures.CAP_BLOCKS);
            assertEquals(answers, measurement.answers());
        }
    }

    @Test
    void shouldShowLowestMedianAndHighest() {
        ObjectMapper json = new ObjectMapper();
        ObjectNode report = json.createObjectNode();
        for (double rate : new double[] {3e8, 1e8, 2.5e6}) {
            ObjectNode run = report.withArray("index").addObject().put("workers", 8);
            run.putObject("lookUp").put("blocksPerSecond", rate).put("p50Nanos", rate / 1e6);
            report.withArray("hashing").addObject().put("blockTokens", 16).put("bothTokens", rate);
        }
        String text = IndexReport.markdown(report);
        assertTrue(text.contains("| 8 | 0.00 / 0.00 / 0.00 | 2.50 / 100 / 300 | 0.00 / 0.10 / 0.30 |"), text);
        assertTrue(text.contains("| 16 | 0.00 / 0.00 / 0.00 | 0.00 / 0.00 / 0.00 | 2.50 / 100 / 300 |"), text);
    }
}
