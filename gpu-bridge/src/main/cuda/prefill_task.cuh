// What both prefill kernels share: which sequence and query rows a block works on.
#pragma once
#include "attention.cuh"

constexpr int PREFILL_WARPS = 8;
constexpr int PREFILL_THREADS = PREFILL_WARPS * WARP;
constexpr int PREFILL_ROWS = PREFILL_WARPS * 16;

struct PrefillTask {
    int head, sequence;
    int firstRow, rows;  // rows of q
    int position;        // of the first row
    float scale;         // with log2 e
};

/**
 * Slot of the grid to sequence and tile: sequence s starts at slot (rows before it) / tile + s, which leaves room for
 * its last, partly filled tile. False when the slot is empty.
 */
template <int ROWS>
DEVICE bool findPrefillTask(PrefillTask& task, int slot, const int* queryStarts, const int* contextStarts, int S) {
    int origin = queryStarts[0], low = 0, high = S - 1;
    while (low < high) {
        int middle = (low + high + 1) / 2;
        if ((queryStarts[middle] - origin) / ROWS + middle <= slot) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    int start = queryStarts[low], length = queryStarts[low + 1] - start;
    int offset = (slot - (start - origin) / ROWS - low) * ROWS;
    task.sequence = low;
    task.firstRow = start + offset;
    task.rows = min(ROWS, length - offset);
    task.position = contextStarts[low] + offset;
    return task.rows > 0;
}
