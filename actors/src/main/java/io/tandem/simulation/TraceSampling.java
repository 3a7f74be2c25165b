package io.tandem.simulation;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.SplittableRandom;
import org.agrona.collections.Int2ObjectHashMap;
import org.agrona.collections.IntArrayList;

/**
 * Other traces drawn from one, for intervals and for larger clusters: a bootstrap of whole conversations. Each is taken as often as
 * a Poisson draw with mean {@code copies} says, with prefixes of its own, so reuse within a conversation stays and reuse between
 * users does not grow. With more than one copy every draw begins at a random time of the trace; with one copy it stays in place.
 * A conversation is what shares a prefix that few others have; prefixes that many share (system prompts) stay shared.
 */
public final class TraceSampling {
    private static final double COMMON_SHARE = 0.01;
    private static final int COMMON_MIN = 32;

    private final Trace base;
    private final List<IntArrayList> conversations = new ArrayList<>();
    private final int[] commonNodes;
    private final long spanNanos;

    private record Draw(long arrivalNanos, int request, int instance) {}

    public TraceSampling(Trace base) {
        this.base = base;
        commonNodes = new int[base.size()];
        spanNanos = Math.max(1, base.arrivalNanos()[base.size() - 1]);
        int[] users = new int[base.nodeCount()];
        for (int[] path : base.nodes()) {
            for (int node : path) {
                users[node]++;
            }
        }
        int common = (int) Math.max(COMMON_MIN, COMMON_SHARE * base.size());
        Int2ObjectHashMap<IntArrayList> byKey = new Int2ObjectHashMap<>();
        for (int r = 0; r < base.size(); r++) {
            int[] path = base.nodes()[r];
            int at = 0;
            while (at < path.length && users[path[at]] > common) {
                at++;
            }
            commonNodes[r] = at;
            IntArrayList conversation = at == path.length ? null : byKey.get(path[at]);
            if (conversation == null) {
                conversation = new IntArrayList();
                conversations.add(conversation);
                if (at < path.length) {
                    byKey.put(path[at], conversation);
                }
            }
            conversation.addInt(r);
        }
    }

    /** Conversations found. */
    public int conversations() {
        return conversations.size();
    }

    /**
     * Draws a trace.
     *
     * @param copies mean number of times each conversation is taken
     * @param requestsMax the earliest so many are kept
     */
    public Trace draw(int copies, int requestsMax, long seed) {
        SplittableRandom random = new SplittableRandom(seed);
        List<Draw> draws = new ArrayList<>();
        int instance = 0;
        for (IntArrayList conversation : conversations) {
            for (int n = poisson(copies, random); n > 0; n--) {
                long start = base.arrivalNanos()[conversation.getInt(0)];
                long moved = copies == 1 ? start : random.nextLong(spanNanos);
                for (int i = 0; i < conversation.size(); i++) {
                    int r = conversation.getInt(i);
                    draws.add(new Draw(moved + base.arrivalNanos()[r] - start, r, instance));
                }
                instance++;
            }
        }
        draws.sort(Comparator.comparingLong(Draw::arrivalNanos));
        Trace.Builder trace = new Trace.Builder(base.name(), base.prefixBlockTokens());
        for (Draw d : draws.subList(0, Math.min(requestsMax, draws.size()))) {
            trace.add(d.arrivalNanos, base.inputTokens()[d.request], base.outputTokens()[d.request], ids(d));
        }
        return trace.build();
    }

    /** The path with the first node of its own renamed; what is below it belongs to the draw by that. */
    private int[] ids(Draw d) {
        int[] ids = Arrays.copyOf(base.nodes()[d.request], base.nodes()[d.request].length);
        if (commonNodes[d.request] < ids.length) {
            ids[commonNodes[d.request]] = Math.addExact(base.nodeCount(), d.instance);
        }
        return ids;
    }

    /** Knuth's method; the mean is small. */
    private static int poisson(int mean, SplittableRandom random) {
        double limit = Math.exp(-mean);
        double product = 1;
        int n = -1;
        do {
            product *= random.nextDouble();
            n++;
        } while (product > limit);
        return n;
    }
}
