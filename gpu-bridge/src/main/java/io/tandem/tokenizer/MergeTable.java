package io.tandem.tokenizer;

import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.PriorityQueue;

/** Which neighbours merge, in which order: pair of ids to rank and merged id, in one open-addressed table. */
final class MergeTable {
    private static final int SCAN_LIMIT = 48;
    private static final long EMPTY = -1;

    private final long[] keys;
    private final int[] ranks;
    private final int[] merged;
    private final int mask;

    /** @param merges "left right", in order of rank; those whose parts or product are no tokens are left out */
    MergeTable(List<String[]> merges, Map<String, Integer> vocabulary) {
        int size = Integer.highestOneBit(Math.max(16, merges.size() * 2)) * 2;
        keys = new long[size];
        ranks = new int[size];
        merged = new int[size];
        mask = size - 1;
        Arrays.fill(keys, EMPTY);
        for (int rank = 0; rank < merges.size(); rank++) {
            Integer left = vocabulary.get(merges.get(rank)[0]);
            Integer right = vocabulary.get(merges.get(rank)[1]);
            Integer product = vocabulary.get(merges.get(rank)[0] + merges.get(rank)[1]);
            if (left != null && right != null && product != null) {
                put(key(left, right), rank, product);
            }
        }
    }

    private static long key(int left, int right) {
        return (long) left << 32 | right;
    }

    private int slot(long key) {
        long h = key * 0x9E3779B97F4A7C15L;
        int i = (int) (h >>> 32) & mask;
        while (keys[i] != EMPTY && keys[i] != key) {
            i = i + 1 & mask;
        }
        return i;
    }

    private void put(long key, int rank, int product) {
        int i = slot(key);
        if (keys[i] == EMPTY) {
            keys[i] = key;
            ranks[i] = rank;
            merged[i] = product;
        }
    }

    /** Merges in place; answers how many ids are left. */
    int apply(int[] ids, int count) {
        return count <= SCAN_LIMIT ? scan(ids, count) : queue(ids, count);
    }

    /** Looks for the best pair again after each merge: fastest for words. */
    private int scan(int[] ids, int length) {
        int count = length;
        while (count > 1) {
            int best = Integer.MAX_VALUE;
            int at = -1;
            int product = 0;
            for (int i = 0; i + 1 < count; i++) {
                int s = slot(key(ids[i], ids[i + 1]));
                if (keys[s] != EMPTY && ranks[s] < best) {
                    best = ranks[s];
                    at = i;
                    product = merged[s];
                }
            }
            if (at < 0) {
                break;
            }
            ids[at] = product;
            System.arraycopy(ids, at + 2, ids, at + 1, count - at - 2);
            count--;
        }
        return count;
    }

    private record Candidate(int rank, int left, int leftId, int rightId, int product) {}

    /** Keeps all pairs in a queue over a linked list: n log n, for the rare word of thousands of bytes. */
    private int queue(int[] ids, int count) {
        int[] next = new int[count];
        int[] previous = new int[count];
        PriorityQueue<Candidate> pairs = new PriorityQueue<>((a, b) ->
                a.rank() != b.rank() ? Integer.compare(a.rank(), b.rank()) : Integer.compare(a.left(), b.left()));
        for (int i = 0; i < count; i++) {
            next[i] = i + 1 < count ? i + 1 : -1;
            previous[i] = i - 1;
        }
        for (int i = 0; i + 1 < count; i++) {
            offer(pairs, ids, i, i + 1);
        }
        for (Candidate c = pairs.poll(); c != null; c = pairs.poll()) {
            int right = next[c.left()];
            if (right < 0 || ids[c.left()] != c.leftId() || ids[right] != c.rightId()) {
                continue;
            }
            ids[c.left()] = c.product();
            ids[right] = -1;
            next[c.left()] = next[right];
            if (next[right] >= 0) {
                previous[next[right]] = c.left();
                offer(pairs, ids, c.left(), next[right]);
            }
            if (previous[c.left()] >= 0) {
                offer(pairs, ids, previous[c.left()], c.left());
            }
        }
        int left = 0;
        for (int i = 0; i < count; i++) {
            if (ids[i] >= 0) {
                ids[left++] = ids[i];
            }
        }
        return left;
    }

    private void offer(PriorityQueue<Candidate> pairs, int[] ids, int left, int right) {
        int s = slot(key(ids[left], ids[right]));
        if (keys[s] != EMPTY) {
            pairs.add(new Candidate(ranks[s], left, ids[left], ids[right], merged[s]));
        }
    }
}
