package io.tandem.kvcache;

import java.util.Locale;

/**
 * The layout of one KV block: one contiguous extent {@code [layer][K|V][kv head][token][dim]}, so that a block is one
 * copy, one message run and one checksum, and one layer of it is contiguous too. Two workers exchange blocks only when
 * their layouts are equal.
 *
 * @param layers transformer blocks
 * @param kvHeads key/value heads
 * @param headDim width of a head
 * @param blockTokens tokens a block holds
 * @param dtype element type
 */
public record KvLayout(int layers, int kvHeads, int headDim, int blockTokens, Dtype dtype) {

    /** Element type of keys and values. */
    public enum Dtype {
        F32(4),
        BF16(2),
        F16(2);

        private final int bytes;

        Dtype(int bytes) {
            this.bytes = bytes;
        }

        public int bytes() {
            return bytes;
        }
    }

    public KvLayout {
        if (layers <= 0 || kvHeads <= 0 || headDim <= 0 || blockTokens <= 0) {
            throw new IllegalArgumentException("KV layout dimensions must be positive");
        }
    }

    /** Bytes of the keys (or the values) of one head in one layer of a block. */
    public long headBytes() {
        return (long) blockTokens * headDim * dtype.bytes();
    }

    /** Bytes of one layer of a block, keys and values. */
    public long layerBytes() {
        return 2L * kvHeads * headBytes();
    }

    /** Bytes of a whole block. */
    public long blockBytes() {
        return layers * layerBytes();
    }

    public long bytesPerToken() {
        return blockBytes() / blockTokens;
    }

    /** Byte offset within a block of token 0's keys for one layer and head. */
    public long keyOffset(int layer, int kvHead) {
        return layer * layerBytes() + kvHead * headBytes();
    }

    /** Byte offset within a block of token 0's values for one layer and head. */
    public long valueOffset(int layer, int kvHead) {
        return layer * layerBytes() + (kvHeads + kvHead) * headBytes();
    }

    /** Blocks that hold {@code tokens} tokens. */
    public int blocksFor(int tokens) {
        return (tokens + blockTokens - 1) / blockTokens;
    }

    /** A canonical text: equal texts mean interchangeable blocks. */
    public String signature() {
        return String.format(Locale.ROOT, "%dx[K|V]x%dx%dx%d:%s", layers, kvHeads, blockTokens, headDim, dtype.name());
    }
}
