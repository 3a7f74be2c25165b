package io.tandem.compute.cpu;

import io.tandem.weights.RowReader;
import io.tandem.weights.Tensor;
import io.tandem.weights.TensorType;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/**
 * A weight matrix where it lies, in the mapped file: {@code rows} output features of {@code cols} inputs, still quantised.
 * Kernels read it by absolute address, which spares them a bounds check per load; the constructor checks the size once, and
 * the reference to the tensor's segment keeps the mapping alive.
 */
final class Matrix {
    /** All memory. Addresses come from live segments only. */
    static final MemorySegment MEMORY = MemorySegment.NULL.reinterpret(Long.MAX_VALUE);

    static final ValueLayout.OfFloat F32 = ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    final TensorType type;
    final int rows;
    final int cols;
    final long address;
    final long rowBytes;
    private final Tensor tensor;
    private PackedMatrix packed;

    Matrix(Tensor tensor) {
        type = tensor.type();
        rows = tensor.rows();
        cols = tensor.cols();
        rowBytes = tensor.rowBytes();
        this.tensor = tensor;
        MemorySegment data = tensor.data();
        address = data.address();
        if (!data.isNative() || data.byteSize() < rowBytes * rows) {
            throw new IllegalArgumentException("tensor '" + tensor.name() + "' has " + data.byteSize()
                    + " bytes of off-heap memory; its shape needs " + rowBytes * rows);
        }
    }

    /** The copy in vector order, if one was made. */
    PackedMatrix packed() {
        return packed;
    }

    void pack(PackedMatrix copy) {
        packed = copy;
    }

    long rowAddress(int row) {
        return address + row * rowBytes;
    }

    /** Dequantises one row. */
    void readRow(int row, float[] out, int at) {
        RowReader.read(tensor, row, out, at);
    }
}
