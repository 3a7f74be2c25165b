package io.tandem.weights;

import java.lang.foreign.MemorySegment;

/**
 * A stored matrix (or a vector, with one row), row by row as in the file; {@code data} is a view of the mapped file.
 *
 * @param name name in the checkpoint
 * @param type element type
 * @param rows output features
 * @param cols input features, contiguous
 * @param data {@code rows * type.rowBytes(cols)} bytes, little-endian
 */
public record Tensor(String name, TensorType type, int rows, int cols, MemorySegment data) {

    public long rowBytes() {
        return type.rowBytes(cols);
    }
}
