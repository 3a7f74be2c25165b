package io.tandem.routing.benchmark;

import io.tandem.routing.benchmark.IndexCorpus.Totals;
import io.tandem.routing.benchmark.IndexMeasurement.Checksums;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.List;

/**
 * What the corpus of the Mooncake conversation trace comes to, and what every exact index answers on it: four indexes of two other
 * projects agree on these numbers, so an equal sum says that the same thing is measured.
 */
final class ReferenceFigures {
    private static final String TRACE_SHA256 = "b8cbb061a85206d729d91cdc2981f43c9e0d99209dce588d3af5f7934408b9df";

    /** Totals of a corpus. */
    record Corpus(int workers, int blockTokens, int capBlocks, Totals totals) {}

    /** Sums over the look-ups of all prompts, 64 tokens a block: after all stores without limit, and in and after the mix. */
    record Answers(int workers, Checksums built, long bestSeenMixed, Checksums afterMixed) {}

    static final int CAP_BLOCKS = 16_384;

    static final List<Corpus> CORPORA = List.of(
            new Corpus(8, 64, 0, new Totals(12_008, 0, 2_256_643, 1_942_201, 0, 314_442)),
            new Corpus(128, 64, 0, new Totals(12_029, 0, 2_256_643, 2_140_885, 0, 115_758)),
            new Corpus(8, 64, CAP_BLOCKS, new Totals(12_016, 11_381, 2_256_643, 2_069_670, 1_938_598, 186_973)),
            new Corpus(128, 64, CAP_BLOCKS, new Totals(12_029, 755, 2_256_643, 2_140_981, 139_515, 115_662)),
            new Corpus(8, 16, 0, new Totals(12_012, 0, 9_044_013, 7_786_213, 0, 1_257_800)),
            new Corpus(128, 16, 0, new Totals(12_029, 0, 9_044_013, 8_580_978, 0, 463_035)),
            new Corpus(8, 512, 0, new Totals(10_505, 0, 276_491, 237_194, 0, 39_297)),
            new Corpus(128, 512, 0, new Totals(10_671, 0, 276_491, 262_022, 0, 14_469)));

    static final List<Answers> ANSWERS = List.of(
            new Answers(8, new Checksums(5_465_288, 2_256_643), 589_786, new Checksums(1_086_760, 356_919)),
            new Answers(128, new Checksums(18_795_681, 2_256_643), 845_058, new Checksums(18_427_168, 2_171_414)));

    private ReferenceFigures() {}

    /** Whether a file is the trace that the figures are of. */
    static boolean apply(Path trace) throws IOException {
        try {
            byte[] digest = MessageDigest.getInstance("SHA-256").digest(Files.readAllBytes(trace));
            return HexFormat.of().formatHex(digest).equals(TRACE_SHA256);
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every JDK has SHA-256", e);
        }
    }

    static void check(int workers, int blockTokens, int capBlocks, Totals totals) {
        for (Corpus c : CORPORA) {
            if (c.workers == workers && c.blockTokens == blockTokens && c.capBlocks == capBlocks) {
                require(c.totals, totals);
            }
        }
    }

    static void check(int workers, IndexMeasurement.Result result) {
        for (Answers a : ANSWERS) {
            if (a.workers == workers) {
                require(a, new Answers(workers, result.built(), result.bestSeenMixed(), result.afterMixed()));
            }
        }
    }

    private static void require(Object expected, Object actual) {
        if (!expected.equals(actual)) {
            throw new IllegalStateException(
                    "the benchmark is not the one it claims to be: " + actual + ", not " + expected);
        }
    }
}
