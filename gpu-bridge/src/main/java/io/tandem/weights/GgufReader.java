package io.tandem.weights;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Parses the header of a GGUF file (versions 2 and 3, little-endian) over its mapping. Every length is checked against the
 * bytes that are left before anything is allocated, so a damaged file is an error and never a crash.
 */
final class GgufReader {
    private static final int MAGIC = 0x46554747;
    private static final int MAX_TENSORS = 1 << 16;
    private static final int MAX_KEYS = 1 << 16;
    private static final int MAX_ARRAY_DEPTH = 2;
    private static final int MAX_DIMENSIONS = 4;

    private final String source;
    private final MemorySegment file;
    private final GgufCursor cursor;

    /** What a header says. */
    record Header(GgufMetadata metadata, Map<String, Tensor> tensors) {}

    private record TensorInfo(String name, long[] shape, int type, long offset) {}

    GgufReader(String source, MemorySegment file) {
        this.source = source;
        this.file = file;
        this.cursor = new GgufCursor(source, file, 0);
    }

    Header read() {
        if (file.byteSize() < 24 || cursor.u32() != MAGIC) {
            throw cursor.broken("is not a GGUF file");
        }
        int version = cursor.u32();
        if (version != 2 && version != 3) {
            throw cursor.broken("has GGUF version " + version + "; versions 2 and 3 are supported");
        }
        int tensorCount = count("tensors", MAX_TENSORS);
        int keyCount = count("metadata entries", MAX_KEYS);
        Map<String, Object> values = new LinkedHashMap<>();
        for (int i = 0; i < keyCount; i++) {
            String key = cursor.string();
            values.put(key, value(cursor, cursor.u32(), 0));
        }
        List<TensorInfo> infos = new ArrayList<>();
        for (int i = 0; i < tensorCount; i++) {
            infos.add(tensorInfo());
        }
        GgufMetadata metadata = new GgufMetadata(source, values);
        int alignment = metadata.integer("general.alignment", 32);
        if (alignment <= 0 || Integer.bitCount(alignment) != 1) {
            throw cursor.broken("has alignment " + alignment + ", which is no power of two");
        }
        long dataStart = (cursor.position() + alignment - 1) / alignment * alignment;
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        for (TensorInfo info : infos) {
            tensors.put(info.name(), tensor(info, dataStart));
        }
        return new Header(metadata, tensors);
    }

    private TensorInfo tensorInfo() {
        String name = cursor.string();
        int dimensions = cursor.u32();
        if (dimensions < 1 || dimensions > MAX_DIMENSIONS) {
            throw cursor.broken("gives tensor '" + name + "' " + dimensions + " dimensions");
        }
        long[] shape = new long[dimensions];
        for (int d = 0; d < dimensions; d++) {
            shape[d] = cursor.u64();
            if (shape[d] < 1 || shape[d] > Integer.MAX_VALUE) {
                throw cursor.broken("gives tensor '" + name + "' a dimension of " + shape[d]);
            }
        }
        return new TensorInfo(name, shape, cursor.u32(), cursor.u64());
    }

    private Tensor tensor(TensorInfo info, long dataStart) {
        TensorType type = type(info);
        long rows = 1;
        for (int d = 1; d < info.shape().length && rows <= Integer.MAX_VALUE; d++) {
            rows *= info.shape()[d];
        }
        int cols = (int) info.shape()[0];
        if (rows > Integer.MAX_VALUE) {
            throw cursor.broken("gives tensor '" + info.name() + "' " + rows + " rows");
        }
        if (cols % type.blockElements() != 0) {
            throw cursor.broken("gives tensor '" + info.name() + "' rows of " + cols + " elements, no whole number of "
                    + type + " blocks");
        }
        long bytes = Math.multiplyExact(rows, type.rowBytes(cols));
        long start = dataStart + info.offset();
        if (info.offset() < 0 || start < 0 || bytes > file.byteSize() - start) {
            throw cursor.broken("ends before tensor '" + info.name() + "' does: the file is cut short or damaged");
        }
        return new Tensor(info.name(), type, (int) rows, cols, file.asSlice(start, bytes));
    }

    private TensorType type(TensorInfo info) {
        return switch (info.type()) {
            case 0 -> TensorType.F32;
            case 1 -> TensorType.F16;
            case 2 -> TensorType.Q4_0;
            case 3 -> TensorType.Q4_1;
            case 8 -> TensorType.Q8_0;
            case 30 -> TensorType.BF16;
            default ->
                throw cursor.broken("stores tensor '" + info.name() + "' as " + typeName(info.type())
                        + "; supported are F32, F16, BF16, Q4_0, Q4_1 and Q8_0");
        };
    }

    private static String typeName(int type) {
        return switch (type) {
            case 6 -> "Q5_0";
            case 7 -> "Q5_1";
            case 10 -> "Q2_K";
            case 11 -> "Q3_K";
            case 12 -> "Q4_K";
            case 13 -> "Q5_K";
            case 14 -> "Q6_K";
            default -> "type " + type;
        };
    }

    static Object value(GgufCursor cursor, int type, int depth) {
        return switch (type) {
            case 0 -> cursor.u8();
            case 1 -> (int) (byte) cursor.u8();
            case 2 -> cursor.u16();
            case 3 -> (int) (short) cursor.u16();
            case 4 -> cursor.u32() & 0xffffffffL;
            case 5 -> cursor.u32();
            case 6 -> Float.intBitsToFloat(cursor.u32());
            case 7 -> cursor.u8() != 0;
            case 8 -> cursor.string();
            case 9 -> array(cursor, depth);
            case 10, 11 -> cursor.u64();
            case 12 -> Double.longBitsToDouble(cursor.u64());
            default -> throw unknownType(cursor, type);
        };
    }

    private static GgufArray array(GgufCursor cursor, int depth) {
        if (depth >= MAX_ARRAY_DEPTH) {
            throw cursor.broken("nests metadata arrays deeper than " + MAX_ARRAY_DEPTH);
        }
        int type = cursor.u32();
        long length = cursor.u64();
        // Every element takes at least one byte, so a longer array cannot be in the file.
        if (length < 0 || length > Math.min(cursor.remaining(), Integer.MAX_VALUE)) {
            throw cursor.broken("announces a metadata array of " + length + " elements, more than the file holds");
        }
        long position = cursor.position();
        switch (type) {
            case 0, 1, 7 -> cursor.skip(length);
            case 2, 3 -> cursor.skip(2 * length);
            case 4, 5, 6 -> cursor.skip(4 * length);
            case 10, 11, 12 -> cursor.skip(8 * length);
            case 8 -> {
                for (long i = 0; i < length; i++) {
                    cursor.skipString();
                }
            }
            case 9 -> {
                for (long i = 0; i < length; i++) {
                    array(cursor, depth + 1);
                }
            }
            default -> throw unknownType(cursor, type);
        }
        return new GgufArray(cursor, type, (int) length, position);
    }

    private static IllegalArgumentException unknownType(GgufCursor cursor, int type) {
        return cursor.broken("has a metadata value of unknown type " + type);
    }

    private int count(String what, int limit) {
        long count = cursor.u64();
        if (count < 0 || count > limit) {
            throw cursor.broken("announces " + count + " " + what + "; at most " + limit + " are accepted");
        }
        return (int) count;
    }
}
