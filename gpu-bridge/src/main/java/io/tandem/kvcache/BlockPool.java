package io.tandem.kvcache;

/**
 * Who owns each KV block of a worker. A block is in exactly one of three states: free (content meaningless), cached (no
 * owner, content findable by its hash, evicted oldest first) or referenced (by one or more sequences or leases; findable
 * as well once it is whole). Everything is int and long arrays made at start; no call allocates. Single-threaded.
 */
public final class BlockPool {
    /** Answer of {@link #allocate()} and {@link #find} when there is no such block. */
    public static final int NONE = -1;

    private final int blocks;
    private final int[] references;
    private final int[] free;
    private int freeCount;

    private final boolean[] hashed;
    private final long[] high;
    private final long[] low;

    /** For {@link FindableBlocks}: key of the block before, and index in the chain. */
    private final long[] parents;

    private final int[] positions;
    private int findable;
    private final BlockEvents events;

    /** Least recently used list of cached blocks, by block id; {@code blocks} is its sentinel. */
    private final int[] older;

    private final int[] newer;
    private int cachedCount;

    /** Open addressing from hash to block id + 1; 0 = empty. At most half full. */
    private final int[] table;

    private final int mask;
    private long evictions;

    public BlockPool(int blocks) {
        this(blocks, new BlockEvents(0, (words, length) -> {}));
    }

    /** @param events is told what can be found from now on and what no more */
    public BlockPool(int blocks, BlockEvents events) {
        if (blocks < 1) {
            throw new IllegalArgumentException("a KV pool needs at least one block, not " + blocks);
        }
        this.blocks = blocks;
        references = new int[blocks];
        free = new int[blocks];
        for (int i = 0; i < blocks; i++) {
            free[i] = blocks - 1 - i;
        }
        freeCount = blocks;
        hashed = new boolean[blocks];
        high = new long[blocks];
        low = new long[blocks];
        parents = new long[blocks];
        positions = new int[blocks];
        this.events = events;
        older = new int[blocks + 1];
        newer = new int[blocks + 1];
        older[blocks] = blocks;
        newer[blocks] = blocks;
        int capacity = Integer.highestOneBit(Math.max(4, blocks * 2 - 1)) << 1;
        table = new int[capacity];
        mask = capacity - 1;
    }

    public int blocks() {
        return blocks;
    }

    public int freeBlocks() {
        return freeCount;
    }

    public int cachedBlocks() {
        return cachedCount;
    }

    /** Blocks an allocation can still get, by eviction if need be. */
    public int availableBlocks() {
        return freeCount + cachedCount;
    }

    public long evictions() {
        return evictions;
    }

    public int references(int block) {
        return references[block];
    }

    /** A block with one reference: a free one, else the cached one unused for longest; {@link #NONE} when all are in use. */
    public int allocate() {
        int block;
        if (freeCount > 0) {
            block = free[--freeCount];
        } else if (cachedCount > 0) {
            block = newer[blocks];
            unlink(block);
            forget(block);
            events.removed(BlockKey.of(high[block], low[block]));
            evictions++;
        } else {
            return NONE;
        }
        references[block] = 1;
        return block;
    }

    /** The block with this content, or {@link #NONE}; takes no reference. */
    public int find(long hashHigh, long hashLow) {
        for (int slot = (int) hashLow & mask; table[slot] != 0; slot = (slot + 1) & mask) {
            int block = table[slot] - 1;
            if (high[block] == hashHigh && low[block] == hashLow) {
                return block;
            }
        }
        return NONE;
    }

    /** Takes one more reference to a cached or referenced block. */
    public void retain(int block) {
        if (references[block] == 0) {
            if (!hashed[block]) {
                throw new IllegalStateException("block " + block + " is free and cannot be retained");
            }
            unlink(block);
        }
        references[block]++;
    }

    /** Gives one reference back; without any, the block is cached when it has a hash, else free. */
    public void release(int block) {
        if (references[block] <= 0) {
            throw new IllegalStateException("block " + block + " is released more often than retained");
        }
        if (--references[block] == 0) {
            if (hashed[block]) {
                linkNewest(block);
            } else {
                free[freeCount++] = block;
            }
        }
    }

    /**
     * Makes a whole, referenced block findable. When another block has this content already, nothing changes and the
     * other stays the one that is found.
     *
     * @param parent {@link BlockKey} of the block before it in its chain; 0 for the first
     * @param position its index there
     */
    public void publish(int block, long hashHigh, long hashLow, long parent, int position) {
        if (references[block] <= 0) {
            throw new IllegalStateException("block " + block + " is published by nobody");
        }
        if (hashed[block] || find(hashHigh, hashLow) != NONE) {
            return;
        }
        hashed[block] = true;
        high[block] = hashHigh;
        low[block] = hashLow;
        parents[block] = parent;
        positions[block] = position;
        findable++;
        events.stored(parent, position, BlockKey.of(hashHigh, hashLow));
        int slot = (int) hashLow & mask;
        while (table[slot] != 0) {
            slot = (slot + 1) & mask;
        }
        table[slot] = block + 1;
    }

    /** Everything that can be found now. Allocates; takes a pass over all blocks. */
    public FindableBlocks findableBlocks() {
        long[] keys = new long[findable];
        long[] before = new long[findable];
        int[] at = new int[findable];
        int i = 0;
        for (int b = 0; b < blocks; b++) {
            if (hashed[b]) {
                keys[i] = BlockKey.of(high[b], low[b]);
                before[i] = parents[b];
                at[i++] = positions[b];
            }
        }
        return new FindableBlocks(keys, before, at);
    }

    /** Frees every cached block. */
    public void clearCache() {
        boolean all = findable == cachedCount;
        if (all && findable > 0) {
            events.cleared();
        }
        while (cachedCount > 0) {
            int block = newer[blocks];
            unlink(block);
            forget(block);
            if (!all) {
                events.removed(BlockKey.of(high[block], low[block]));
            }
            free[freeCount++] = block;
        }
    }

    /** Removes a block from the table, closing the gap so that later probes still find their keys. */
    private void forget(int block) {
        hashed[block] = false;
        findable--;
        int slot = (int) low[block] & mask;
        while (table[slot] != block + 1) {
            slot = (slot + 1) & mask;
        }
        int gap = slot;
        for (int next = (gap + 1) & mask; table[next] != 0; next = (next + 1) & mask) {
            int home = (int) low[table[next] - 1] & mask;
            if (((next - home) & mask) >= ((next - gap) & mask)) {
                table[gap] = table[next];
                gap = next;
            }
        }
        table[gap] = 0;
    }

    private void linkNewest(int block) {
        int last = older[blocks];
        newer[last] = block;
        older[block] = last;
        newer[block] = blocks;
        older[blocks] = block;
        cachedCount++;
    }

    private void unlink(int block) {
        newer[older[block]] = newer[block];
        older[newer[block]] = older[block];
        cachedCount--;
    }

    /** Checks that every block is in exactly one state and every list and count agrees; throws when not. */
    public void verify() {
        byte[] seen = new byte[blocks];
        for (int i = 0; i < freeCount; i++) {
            check(seen[free[i]]++ == 0 && references[free[i]] == 0 && !hashed[free[i]], "free list at " + i);
        }
        int cached = 0;
        for (int b = newer[blocks]; b != blocks; b = newer[b]) {
            check(seen[b]++ == 0 && references[b] == 0 && hashed[b], "cached block " + b);
            cached++;
        }
        check(cached == cachedCount, "cached count " + cachedCount + " but " + cached + " in the list");
        int inTable = 0;
        for (int entry : table) {
            inTable += entry != 0 ? 1 : 0;
        }
        int withHash = 0;
        for (int b = 0; b < blocks; b++) {
            check(
                    references[b] >= 0 && (references[b] > 0) != (seen[b] == 1),
                    "block " + b + " is lost or owned twice");
            withHash += hashed[b] ? 1 : 0;
            check(!hashed[b] || find(high[b], low[b]) == b, "hash of block " + b + " is not found");
        }
        check(findable == withHash, "count of findable blocks " + findable + " but " + withHash + " have a hash");
        check(inTable == withHash, "table holds " + inTable + " of " + withHash + " hashes");
    }

    private static void check(boolean ok, String what) {
        if (!ok) {
            throw new IllegalStateException("KV pool is inconsistent: " + what);
        }
    }
}
