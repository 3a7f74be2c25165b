package io.tandem.kvcache;

/**
 * Changes of what a {@link BlockPool} can find, in order, as words: a header of kind, count and position, then for stored
 * blocks the key of the block before them, then the blocks' keys ({@link BlockKey}). Consecutive blocks of one chain, and
 * removals in a row, share a header. The words are the wire format as well.
 *
 * <p>Written into one array made at start; when it is full it is handed to the sink at once, so nothing is ever lost and no
 * call allocates. Single-threaded, as the pool is.
 */
public final class BlockEvents {
    private static final int STORED = 1;
    private static final int REMOVED = 2;
    private static final int CLEARED = 3;
    private static final int KIND_SHIFT = 62;
    private static final int COUNT_SHIFT = 32;
    private static final int MAX_COUNT = (1 << 30) - 1;
    private static final int MIN_WORDS = 16;

    /** Takes events from the thread that made them. The array is used again: copy before returning. */
    @FunctionalInterface
    public interface Sink {
        void onBlockEvents(long[] words, int length);
    }

    /** Reads events. */
    public interface Visitor {
        /** Consecutive blocks {@code keys[from..from+count)} of one chain, the first at {@code position}. */
        void stored(long parent, int position, long[] keys, int from, int count);

        void removed(long[] keys, int from, int count);

        /** Nothing can be found any more. */
        void cleared();
    }

    private final long[] words;
    private final Sink sink;
    private int length;

    /** Index of the header that may still grow; -1 = none. */
    private int open = -1;

    private int openKind;

    /** @param capacityWords at least 16 */
    public BlockEvents(int capacityWords, Sink sink) {
        words = new long[Math.max(MIN_WORDS, capacityWords)];
        this.sink = sink;
    }

    /** A block can be found. */
    public void stored(long parent, int position, long key) {
        if (openKind == STORED && open >= 0 && length < words.length) {
            int count = length - open - 2;
            if (words[length - 1] == parent && (int) words[open] + count == position) {
                append(key);
                return;
            }
        }
        begin(STORED, position, 3);
        words[length++] = parent;
        append(key);
    }

    /** A block cannot be found any more. */
    public void removed(long key) {
        if (openKind != REMOVED || open < 0 || length == words.length) {
            begin(REMOVED, 0, 2);
        }
        append(key);
    }

    /** Nothing can be found any more. */
    public void cleared() {
        begin(CLEARED, 0, 1);
        open = -1;
    }

    private void begin(int kind, int position, int room) {
        if (words.length - length < room) {
            flush();
        }
        open = length;
        openKind = kind;
        words[length++] = header(kind, 0, position);
    }

    private void append(long key) {
        words[length++] = key;
        words[open] += 1L << COUNT_SHIFT;
    }

    private static long header(int kind, int count, int position) {
        return (long) kind << KIND_SHIFT | (long) count << COUNT_SHIFT | position;
    }

    /** Hands over what there is. */
    public void flush() {
        if (length > 0) {
            sink.onBlockEvents(words, length);
            length = 0;
            open = -1;
        }
    }

    /**
     * Reads {@code words[0..length)}.
     *
     * @throws IllegalArgumentException when they are no events
     */
    public static void read(long[] words, int length, Visitor visitor) {
        int at = 0;
        while (at < length) {
            long header = words[at++];
            int kind = (int) (header >>> KIND_SHIFT);
            int count = (int) (header >>> COUNT_SHIFT) & MAX_COUNT;
            int position = (int) header;
            int body = count + (kind == STORED ? 1 : 0);
            if (kind == 0 || position < 0 || body > length - at || count == 0 != (kind == CLEARED)) {
                throw new IllegalArgumentException("no block event at word " + (at - 1) + " of " + length);
            }
            switch (kind) {
                case STORED -> visitor.stored(words[at], position, words, at + 1, count);
                case REMOVED -> visitor.removed(words, at, count);
                default -> visitor.cleared();
            }
            at += body;
        }
    }
}
