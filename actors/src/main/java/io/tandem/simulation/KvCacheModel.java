package io.tandem.simulation;

import org.agrona.collections.Int2IntHashMap;
import org.agrona.collections.IntArrayList;

/**
 * A worker's KV blocks: counted references, prefix blocks by id, and what nobody holds stays cached until it is the least
 * recently released. Blocks that are not whole yet have no id; only their number is kept.
 */
final class KvCacheModel {
    private static final int NONE = -1;

    private final int capacityBlocks;
    private final Int2IntHashMap slotOf;
    private final int[] idOf;
    private final int[] references;
    private final int[] older;
    private final int[] newer;
    private final int[] freeSlots;
    private int freeCount;
    private int oldest = NONE;
    private int newest = NONE;
    private int cachedUnused;
    private int anonymous;

    /** What became known or forgotten since the last {@link IntArrayList#clear}: an id is stored, {@code ~id} removed. */
    final IntArrayList events = new IntArrayList();

    KvCacheModel(int capacityBlocks) {
        this.capacityBlocks = capacityBlocks;
        slotOf = new Int2IntHashMap(2 * capacityBlocks, 0.55f, NONE);
        idOf = new int[capacityBlocks];
        references = new int[capacityBlocks];
        older = new int[capacityBlocks];
        newer = new int[capacityBlocks];
        freeSlots = new int[capacityBlocks];
        for (int i = 0; i < capacityBlocks; i++) {
            freeSlots[i] = capacityBlocks - 1 - i;
        }
        freeCount = capacityBlocks;
    }

    int capacityBlocks() {
        return capacityBlocks;
    }

    /** Blocks that a sequence holds. */
    int usedBlocks() {
        return capacityBlocks - availableBlocks();
    }

    /** Blocks free now or after eviction. */
    int availableBlocks() {
        return freeCount - anonymous + cachedUnused;
    }

    boolean resident(int id) {
        return slotOf.get(id) != NONE;
    }

    boolean inUse(int id) {
        int slot = slotOf.get(id);
        return slot != NONE && references[slot] > 0;
    }

    /** Takes a block that is resident. */
    void acquire(int id) {
        int slot = slotOf.get(id);
        if (references[slot]++ == 0) {
            unlink(slot);
            cachedUnused--;
        }
    }

    /** Takes room for {@code count} blocks without an id, evicting as needed. */
    boolean allocate(int count) {
        if (count > availableBlocks()) {
            return false;
        }
        while (freeCount - anonymous < count) {
            evict();
        }
        anonymous += count;
        return true;
    }

    /** A block taken by {@link #allocate} is whole: it is {@code id} from now on. */
    void publish(int id) {
        anonymous--;
        int slot = slotOf.get(id);
        if (slot == NONE) {
            slot = freeSlots[--freeCount];
            slotOf.put(id, slot);
            idOf[slot] = id;
            references[slot] = 1;
            if (id >= 0) {
                events.addInt(id);
            }
        } else {
            acquire(id);
        }
    }

    void release(int id) {
        int slot = slotOf.get(id);
        if (--references[slot] == 0) {
            older[slot] = newest;
            newer[slot] = NONE;
            if (newest == NONE) {
                oldest = slot;
            } else {
                newer[newest] = slot;
            }
            newest = slot;
            cachedUnused++;
        }
    }

    void releaseAnonymous(int count) {
        anonymous -= count;
    }

    private void evict() {
        int slot = oldest;
        unlink(slot);
        cachedUnused--;
        int id = idOf[slot];
        slotOf.remove(id);
        freeSlots[freeCount++] = slot;
        if (id >= 0) {
            events.addInt(~id);
        }
    }

    private void unlink(int slot) {
        if (older[slot] == NONE) {
            oldest = newer[slot];
        } else {
            newer[older[slot]] = newer[slot];
        }
        if (newer[slot] == NONE) {
            newest = older[slot];
        } else {
            older[newer[slot]] = older[slot];
        }
    }

    /** Forgets everything, as a worker that died and came back. */
    void clear() {
        while (oldest != NONE) {
            evict();
        }
    }
}
