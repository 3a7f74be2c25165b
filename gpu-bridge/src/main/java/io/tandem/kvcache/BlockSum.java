package io.tandem.kvcache;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * The checksum of blocks that go from device to device: 64 bits, the sum of the block's 8-byte words, each moved by its place and
 * mixed. Additions commute, so a device computes it in any order. It finds what overwrites or misplaces; it is no signature.
 */
public final class BlockSum {
    private static final ValueLayout.OfLong WORD = ValueLayout.JAVA_LONG_UNALIGNED;
    private static final long PLACE = 0x9e3779b97f4a7c15L;

    private BlockSum() {}

    /** Of host memory of a multiple of 8 bytes. */
    public static long of(MemorySegment block) {
        long sum = 0;
        long words = block.byteSize() / 8;
        for (long i = 0; i < words; i++) {
            sum += mixed(block.get(WORD, 8 * i) + (i + 1) * PLACE);
        }
        return sum;
    }

    /** The finaliser of MurmurHash3. */
    private static long mixed(long v) {
        long a = (v ^ v >>> 33) * 0xff51afd7ed558ccdL;
        long b = (a ^ a >>> 33) * 0xc4ceb9fe1a85ec53L;
        return b ^ b >>> 33;
    }
}
