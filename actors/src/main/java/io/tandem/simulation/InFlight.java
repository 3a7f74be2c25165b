package io.tandem.simulation;

import java.util.SplittableRandom;

/** Requests in flight on each worker. In a split layout a request counts on its prefill worker until its prompt is computed. */
final class InFlight {
    private final Layout layout;
    private final int[] requests;

    InFlight(Layout layout) {
        this.layout = layout;
        requests = new int[layout.workers()];
    }

    int on(int worker) {
        return requests[worker];
    }

    int add(int worker) {
        requests[worker]++;
        return worker;
    }

    void prefillEnded(int worker) {
        if (layout.split()) {
            requests[worker]--;
        }
    }

    void finished(int worker) {
        if (!layout.split() || worker >= layout.prefillWorkers()) {
            requests[worker]--;
        }
    }

    /** The one with the fewest in {@code [from, to)}; ties are drawn. */
    int fewest(int from, int to, SplittableRandom random) {
        int best = from;
        int ties = 1;
        for (int w = from + 1; w < to; w++) {
            if (requests[w] < requests[best]) {
                best = w;
                ties = 1;
            } else if (requests[w] == requests[best] && random.nextInt(++ties) == 0) {
                best = w;
            }
        }
        return best;
    }
}
