package io.tandem.engine;

import com.typesafe.config.Config;
import io.tandem.settings.SettingRange;

/** The limits of an engine, from {@code tandem.engine}; see this module's reference.conf for units and reasons. */
public record EngineSettings(
        int maxSequences,
        int maxWaitingSequences,
        int prefillChunkTokens,
        int mixedChunkTokens,
        int decodeChunkTokens,
        int maxBatchTokens,
        int blockTokens,
        int kvBlocks,
        long kvMemoryBytes,
        int commandQueueEntries,
        boolean prefixCache,
        boolean verifyEachStep) {

    public EngineSettings {
        range("max-sequences", maxSequences, 1, 4096);
        range("max-waiting-sequences", maxWaitingSequences, 1, 100_000);
        range("max-batch-tokens", maxBatchTokens, 64, 65_536);
        range("prefill-chunk-tokens", prefillChunkTokens, 16, maxBatchTokens);
        range("mixed-chunk-tokens", mixedChunkTokens, 16, maxBatchTokens);
        range("decode-chunk-tokens", decodeChunkTokens, 16, maxBatchTokens);
        range("block-tokens", blockTokens, 4, 256);
        range("kv-blocks", kvBlocks, 0, Integer.MAX_VALUE / 4);
        range("command-queue-entries", commandQueueEntries, 64, 1 << 20);
        if (Integer.bitCount(blockTokens) != 1) {
            throw new IllegalArgumentException("tandem.engine.block-tokens must be a power of two, not " + blockTokens);
        }
        if (maxSequences > maxBatchTokens) {
            throw new IllegalArgumentException(
                    "tandem.engine.max-sequences (" + maxSequences + ") must not exceed max-batch-tokens ("
                            + maxBatchTokens + "): every decode takes one token a step");
        }
    }

    /** Reads {@code tandem.engine}. */
    public static EngineSettings from(Config root) {
        Config c = root.getConfig("tandem.engine");
        return new EngineSettings(
                c.getInt("max-sequences"),
                c.getInt("max-waiting-sequences"),
                c.getInt("prefill-chunk-tokens"),
                c.getInt("mixed-chunk-tokens"),
                c.getInt("decode-chunk-tokens"),
                c.getInt("max-batch-tokens"),
                c.getInt("block-tokens"),
                c.getInt("kv-blocks"),
                c.getBytes("kv-memory-bytes"),
                c.getInt("command-queue-entries"),
                c.getBoolean("prefix-cache"),
                c.getBoolean("verify-each-step"));
    }

    /** Prompt tokens a step may compute besides the decodes. */
    public int chunkTokens(EngineRole role) {
        return switch (role) {
            case PREFILL -> prefillChunkTokens;
            case MIXED -> mixedChunkTokens;
            case DECODE -> decodeChunkTokens;
        };
    }

    /** KV blocks of that size in that much memory. */
    static int blocks(long blockBytes, long memoryBytes) {
        return Math.clamp(memoryBytes / blockBytes, 1, Integer.MAX_VALUE / 4);
    }

    private static void range(String key, long value, long min, long max) {
        SettingRange.check("tandem.engine." + key, value, min, max);
    }
}
