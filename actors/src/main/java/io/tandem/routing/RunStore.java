package io.tandem.routing;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.Arrays;

/**
 * The runs of a {@link PrefixIndex}. A run is a stretch of consecutive blocks of one chain: their hashes in a
 * {@link HashArena}, the position of the first one, the hash before it, and its holders, each with the number of leading
 * blocks of the run it holds. Sixteen longs a run, so that a look-up that goes along a whole run reads no hashes at all:
 *
 * <pre>
 * 0 version   odd while the writer changes the run; never repeats, even when the run id is used again
 * 1 extent    arena position (32) | fork (16) | blocks (16); fork: blocks before the latest branch off the run, a hint
 * 2 place     position in the chain of the first block (32) | holders (32)
 * 3 key       of the first block and the one before it, see {@link #key}
 * 4 last      hash of the last block
 * 5..15       holders: worker (32) | leading blocks held (32); all of them in a spill array when there are more than eleven
 * </pre>
 *
 * One writer. A reader takes the version, reads, and takes the version again: equal and even means that what it read was
 * true at one moment.
 */
final class RunStore {
    /** No run; ids begin at 1. */
    static final int NONE = 0;

    static final int EXTENT = 1;
    static final int PLACE = 2;
    static final int KEY = 3;
    static final int LAST = 4;
    static final int HOLDERS = 5;
    static final int INLINE_HOLDERS = 11;
    private static final int RECORD_BITS = 4;
    private static final int MIN_SPILL = 32;
    private static final int CHUNK_BITS = 10;
    private static final int CHUNK_MASK = (1 << CHUNK_BITS) - 1;
    static final int MAX_RUN_BLOCKS = HashArena.CHUNK_LONGS;
    private static final int MAX_RUNS = (1 << 26) - 2;
    private static final VarHandle LONGS = MethodHandles.arrayElementVarHandle(long[].class);

    private final HashArena arena;
    private final long[][] records;
    private final long[][][] spills;

    // The writer's own, by run id; grown by copying.
    private byte[] sizeClass = new byte[64];
    private int[] older = new int[64];
    private int[] newer = new int[64];

    /** Hash of the block before the first one. */
    private long[] parent = new long[64];

    /** The run of the block before the first one, as it was when this run began; may be gone. */
    private int[] parentRun = new int[64];

    private int idsUsed;
    private int freeIds = NONE;
    private int live;

    RunStore(long maxBlocks) {
        arena = new HashArena(3 * maxBlocks);
        int directory = (int) Math.min(MAX_RUNS, maxBlocks) / (1 << CHUNK_BITS) + 1;
        records = new long[directory][];
        spills = new long[directory][][];
    }

    long[] record(int run) {
        return records[run >>> CHUNK_BITS];
    }

    static int recordIndex(int run) {
        return (run & CHUNK_MASK) << RECORD_BITS;
    }

    static long version(long[] record, int at) {
        return (long) LONGS.getAcquire(record, at);
    }

    /** What the first block of a run is known by: its hash and that of the block before it, 0 when there is none. */
    static long key(long first, long before) {
        return first ^ before * 0x9E3779B97F4A7C15L;
    }

    static int blocks(long extent) {
        return (int) extent & 0xFFFF;
    }

    static int fork(long extent) {
        return (int) extent >>> 16;
    }

    static int position(long extent) {
        return (int) (extent >>> 32);
    }

    HashArena arena() {
        return arena;
    }

    /** Holders of a run that has more than fit in its record; may be out of date for a reader. */
    long[] spill(int run) {
        return spills[run >>> CHUNK_BITS][run & CHUNK_MASK];
    }

    int live() {
        return live;
    }

    // ---- the writer's reads

    private long field(int run, int field) {
        return record(run)[recordIndex(run) + field];
    }

    private void field(int run, int field, long value) {
        record(run)[recordIndex(run) + field] = value;
    }

    int length(int run) {
        return blocks(field(run, EXTENT));
    }

    private int base(int run) {
        return position(field(run, EXTENT));
    }

    /** The array that holds the run's hashes, from {@link #index} on. */
    long[] chunk(int run) {
        return arena.chunk(base(run));
    }

    int index(int run) {
        return HashArena.index(base(run));
    }

    long hash(int run, int offset) {
        int position = base(run) + offset;
        return arena.chunk(position)[HashArena.index(position)];
    }

    /** Position in the chain of the run's first block. */
    int start(int run) {
        return (int) (field(run, PLACE) >>> 32);
    }

    long parent(int run) {
        return parent[run];
    }

    int holders(int run) {
        return (int) field(run, PLACE);
    }

    private boolean isLive(int run) {
        return run != NONE && length(run) > 0;
    }

    /** The run that held the parent, when it still does. */
    int parentRun(int run) {
        int candidate = parentRun[run];
        if (!isLive(candidate)) {
            return NONE;
        }
        int offset = start(run) - 1 - start(candidate);
        boolean same = offset >= 0 && offset < length(candidate) && hash(candidate, offset) == parent[run];
        return same ? candidate : NONE;
    }

    // ---- order of use: run 0 is the list's sentinel

    /** The run used least recently. */
    int first() {
        return newer[NONE];
    }

    /** The next run in order of use, least recent first. */
    int next(int run) {
        return newer[run];
    }

    /** Makes a run the most recently used. */
    void touch(int run) {
        if (older[NONE] != run) {
            unlink(run);
            link(run);
        }
    }

    private void link(int run) {
        int last = older[NONE];
        newer[last] = run;
        older[run] = last;
        newer[run] = NONE;
        older[NONE] = run;
    }

    private void unlink(int run) {
        newer[older[run]] = newer[run];
        older[newer[run]] = older[run];
    }

    // ---- changes; those that a reader could see half done stand between begin and end

    void begin(int run) {
        long[] record = record(run);
        int at = recordIndex(run);
        LONGS.setOpaque(record, at, record[at] + 1);
        VarHandle.storeStoreFence();
    }

    void end(int run) {
        long[] record = record(run);
        int at = recordIndex(run);
        LONGS.setRelease(record, at, record[at] + 1);
    }

    /** A run without blocks; {@link #NONE} when there are as many as there can be. */
    int create(int start, long parentHash, int parentRunId, int capacity) {
        int run = freeIds;
        if (run != NONE) {
            freeIds = parentRun[run];
        } else if (!mayAddId()) {
            return NONE;
        } else {
            run = ++idsUsed;
        }
        int wanted = HashArena.classOf(capacity);
        int position = allocate(wanted);
        sizeClass[run] = (byte) wanted;
        parentRun[run] = parentRunId;
        parent[run] = parentHash;
        begin(run);
        field(run, EXTENT, (long) position << 32);
        field(run, PLACE, (long) start << 32);
        end(run);
        link(run);
        live++;
        return run;
    }

    private boolean mayAddId() {
        int run = idsUsed + 1;
        int chunk = run >>> CHUNK_BITS;
        if (run > MAX_RUNS || chunk >= records.length) {
            return false;
        }
        if (records[chunk] == null) {
            records[chunk] = new long[1 << (CHUNK_BITS + RECORD_BITS)];
            spills[chunk] = new long[1 << CHUNK_BITS][];
        }
        if (run >= older.length) {
            int length = older.length * 2;
            sizeClass = Arrays.copyOf(sizeClass, length);
            older = Arrays.copyOf(older, length);
            newer = Arrays.copyOf(newer, length);
            parentRun = Arrays.copyOf(parentRun, length);
            parent = Arrays.copyOf(parent, length);
        }
        return true;
    }

    /** Ends a run: no blocks, no holders, its id and its memory free. Its hashes are out of the table already. */
    void free(int run) {
        arena.release(base(run), sizeClass[run]);
        begin(run);
        field(run, EXTENT, 0);
        field(run, PLACE, 0);
        end(run);
        spills[run >>> CHUNK_BITS][run & CHUNK_MASK] = null;
        unlink(run);
        parentRun[run] = freeIds;
        freeIds = run;
        live--;
    }

    /** Makes room for a run to have so many blocks; may move it. */
    void ensureCapacity(int run, int blocks) {
        if (blocks > HashArena.longsOf(sizeClass[run])) {
            int spare = blocks + Math.min(length(run) / 8, MAX_RUN_BLOCKS - blocks);
            move(run, HashArena.classOf(spare));
        }
    }

    /** Gives memory back when a run has lost most of its blocks. */
    void trim(int run) {
        int capacity = HashArena.longsOf(sizeClass[run]);
        int length = length(run);
        if (capacity > 8 && length < capacity / 2) {
            move(run, HashArena.classOf(length + length / 8));
        }
    }

    private void move(int run, int newClass) {
        int to = allocate(newClass);
        int from = base(run);
        moveTo(run, to);
        arena.release(from, sizeClass[run]);
        sizeClass[run] = (byte) newClass;
    }

    private void moveTo(int run, int to) {
        System.arraycopy(chunk(run), index(run), arena.chunk(to), HashArena.index(to), length(run));
        begin(run);
        field(run, EXTENT, ((long) to << 32) | (field(run, EXTENT) & 0xFFFF_FFFFL));
        end(run);
    }

    private int allocate(int wanted) {
        int position = arena.allocate(wanted);
        if (position == HashArena.NONE && arena.wantsCompaction()) {
            compact();
            position = arena.allocate(wanted);
        }
        if (position == HashArena.NONE) {
            arena.addChunk();
            position = arena.allocate(wanted);
        }
        return position;
    }

    private void compact() {
        boolean[] old = arena.beginCompaction();
        for (int run = first(); run != NONE; run = next(run)) {
            int position = arena.allocate(sizeClass[run]);
            if (position == HashArena.NONE) {
                arena.addChunk();
                position = arena.allocate(sizeClass[run]);
            }
            moveTo(run, position);
        }
        arena.endCompaction(old);
    }

    /** Between begin and end. The hashes are in place. */
    void setLength(int run, int length) {
        field(run, EXTENT, (field(run, EXTENT) & ~0xFFFFL) | length);
        field(run, KEY, key(hash(run, 0), parent[run]));
        field(run, LAST, hash(run, length - 1));
    }

    /** Says that another run branches off after so many blocks of this one. */
    void setFork(int run, int blocks) {
        begin(run);
        field(run, EXTENT, (field(run, EXTENT) & ~0xFFFF_0000L) | ((long) blocks << 16));
        end(run);
    }

    // ---- holders

    private long[] holderArray(int run) {
        return holders(run) <= INLINE_HOLDERS ? record(run) : spill(run);
    }

    private int holderBase(int run) {
        return holders(run) <= INLINE_HOLDERS ? recordIndex(run) + HOLDERS : 0;
    }

    static int worker(long holder) {
        return (int) (holder >>> 32);
    }

    /** Leading blocks of the run that a holder has. */
    static int leading(long holder) {
        return (int) holder;
    }

    long holder(int run, int number) {
        return holderArray(run)[holderBase(run) + number];
    }

    /** The number of a worker among a run's holders, or -1. */
    int holderOf(int run, int worker) {
        long[] array = holderArray(run);
        int base = holderBase(run);
        int count = holders(run);
        for (int i = 0; i < count; i++) {
            if (worker(array[base + i]) == worker) {
                return i;
            }
        }
        return -1;
    }

    /** Between begin and end. */
    void setHolder(int run, int number, int worker, int leading) {
        holderArray(run)[holderBase(run) + number] = ((long) worker << 32) | leading;
    }

    /** Between begin and end. */
    void addHolder(int run, int worker, int leading) {
        int count = holders(run);
        if (count >= INLINE_HOLDERS) {
            spillFor(run, count);
        }
        field(run, PLACE, field(run, PLACE) + 1);
        setHolder(run, count, worker, leading);
    }

    private void spillFor(int run, int count) {
        long[][] chunk = spills[run >>> CHUNK_BITS];
        long[] spill = chunk[run & CHUNK_MASK];
        if (count == INLINE_HOLDERS) {
            long[] wide = spill == null ? new long[MIN_SPILL] : spill;
            System.arraycopy(record(run), recordIndex(run) + HOLDERS, wide, 0, INLINE_HOLDERS);
            chunk[run & CHUNK_MASK] = wide;
        } else if (count == spill.length) {
            chunk[run & CHUNK_MASK] = Arrays.copyOf(spill, count * 2);
        }
    }

    /** Between begin and end: the last holder takes the place of this one. */
    void removeHolder(int run, int number) {
        int count = holders(run);
        long last = holder(run, count - 1);
        setHolder(run, number, worker(last), leading(last));
        if (count == INLINE_HOLDERS + 1) {
            System.arraycopy(spill(run), 0, record(run), recordIndex(run) + HOLDERS, INLINE_HOLDERS);
        }
        field(run, PLACE, field(run, PLACE) - 1);
    }

    long bytes() {
        long bytes = arena.bytes() + 8L * records.length + 21L * older.length;
        for (int i = 0; i < records.length && records[i] != null; i++) {
            bytes += 8L * records[i].length + 4L * spills[i].length;
            for (long[] spill : spills[i]) {
                bytes += spill == null ? 0 : 16 + 8L * spill.length;
            }
        }
        return bytes;
    }
}
