package io.tandem.compute.cpu;

import java.nio.ByteOrder;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/**
 * Steps of the {@link PackedKernels} that answer a vector. The JVM is told to inline all of this class: on its own it would compile a step
 * first, find it too big then to inline, and make an object of every vector that leaves it.
 */
final class PackedLanes {
    private static final VectorSpecies<Float> FLOATS = VectorUnit.FLOATS;
    private static final VectorSpecies<Integer> INTS = VectorUnit.INTS;
    private static final ByteOrder LE = ByteOrder.LITTLE_ENDIAN;
    /** 2^112: moves the exponent of a float16's bits, placed as a float32, to where it belongs. */
    private static final float HALF_BIAS = 5.192296858534828e33f;

    private PackedLanes() {}

    static IntVector words(long address) {
        return IntVector.fromMemorySegment(INTS, Matrix.MEMORY, address, LE);
    }

    static FloatVector floats(long address) {
        return FloatVector.fromMemorySegment(FLOATS, Matrix.MEMORY, address, LE);
    }

    static IntVector ints(int value) {
        return IntVector.broadcast(INTS, value);
    }

    static FloatVector zero() {
        return FloatVector.zero(FLOATS);
    }

    /** Float16 in the upper half of each word, as float32; exact for all finite values. */
    static FloatVector upperHalves(IntVector words) {
        return words.lanewise(VectorOperators.ASHR, 3)
                .and(0x8fffe000)
                .reinterpretAsFloats()
                .mul(HALF_BIAS);
    }

    /** Scale of {@code 1 + q/16}. */
    static FloatVector nibbleScale(IntVector scales) {
        return upperHalves(scales.lanewise(VectorOperators.LSHL, 16)).mul(16f);
    }

    /** Offset that goes with it: m - 16 d. */
    static FloatVector nibbleOffset(IntVector scales, FloatVector scale) {
        return upperHalves(scales).sub(scale);
    }

    /** {@code 1 + q/16} of the nibble in bits 0 to 3. */
    static FloatVector nibble(IntVector words, IntVector mask, IntVector one) {
        return words.lanewise(VectorOperators.LSHL, 19).and(mask).or(one).reinterpretAsFloats();
    }

    /** {@code 1 + u/256} of the byte in bits 0 to 7; the scale is 256 d, the offset -384 d. */
    static FloatVector lowByte(IntVector words, IntVector mask, IntVector one) {
        return words.lanewise(VectorOperators.LSHL, 15).and(mask).or(one).reinterpretAsFloats();
    }

    static FloatVector first(IntVector pairs) {
        return pairs.lanewise(VectorOperators.LSHL, 16).reinterpretAsFloats();
    }

    static FloatVector second(IntVector pairs) {
        return pairs.and(0xffff0000).reinterpretAsFloats();
    }
}
