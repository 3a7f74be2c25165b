package io.tandem.weights;

/** Element types of stored tensors; quantised ones come in blocks along a row. */
public enum TensorType {
    F32(1, 4),
    F16(1, 2),
    BF16(1, 2),
    /** 32 weights: f16 scale d, 16 bytes of nibbles (low nibble: weights 0-15, high: 16-31); w = d * (q - 8). */
    Q4_0(32, 18),
    /** 32 weights: f16 scale d, f16 minimum m, 16 bytes of nibbles as in Q4_0; w = d * q + m. */
    Q4_1(32, 20),
    /** 32 weights: f16 scale d, 32 signed bytes; w = d * q. */
    Q8_0(32, 34);

    private final int blockElements;
    private final int blockBytes;

    TensorType(int blockElements, int blockBytes) {
        this.blockElements = blockElements;
        this.blockBytes = blockBytes;
    }

    public int blockElements() {
        return blockElements;
    }

    public int blockBytes() {
        return blockBytes;
    }

    /** Bytes of a row of {@code cols} elements. */
    public long rowBytes(int cols) {
        if (cols % blockElements != 0) {
            throw new IllegalArgumentException(
                    "a row of " + cols + " elements is not a whole number of " + this + " blocks");
        }
        return (long) cols / blockElements * blockBytes;
    }
}
