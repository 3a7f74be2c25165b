package io.tandem.sampling;

/**
 * Counter-based randomness: Philox4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3"
 * (SC 2011). A draw is a pure function of key and counter, so it needs no state to carry from one worker to the next.
 */
final class Philox {
    private static final int M0 = 0xD2511F53;
    private static final int M1 = 0xCD9E8D57;
    private static final int W0 = 0x9E3779B9;
    private static final int W1 = 0xBB67AE85;
    private static final int ROUNDS = 10;

    private Philox() {}

    /** The first two output words, as {@code (word1 << 32) | word0}, for counter (counterLow, counterHigh). */
    static long words(long key, long counterLow, long counterHigh) {
        int c0 = (int) counterLow;
        int c1 = (int) (counterLow >>> 32);
        int c2 = (int) counterHigh;
        int c3 = (int) (counterHigh >>> 32);
        int k0 = (int) key;
        int k1 = (int) (key >>> 32);
        for (int round = 0; round < ROUNDS; round++) {
            long p0 = Integer.toUnsignedLong(M0) * Integer.toUnsignedLong(c0);
            long p1 = Integer.toUnsignedLong(M1) * Integer.toUnsignedLong(c2);
            int n0 = (int) (p1 >>> 32) ^ c1 ^ k0;
            int n2 = (int) (p0 >>> 32) ^ c3 ^ k1;
            c0 = n0;
            c1 = (int) p1;
            c2 = n2;
            c3 = (int) p0;
            k0 += W0;
            k1 += W1;
        }
        return (Integer.toUnsignedLong(c1) << 32) | Integer.toUnsignedLong(c0);
    }

    /** A uniform draw in [0, 1) with 53 bits, for one output position of one seed. */
    static double uniform(long seed, long position) {
        return (words(seed, position, 0) >>> 11) * 0x1.0p-53;
    }
}
