package io.tandem.simulation;

import java.util.SplittableRandom;
import org.agrona.collections.Int2IntCounterMap;

/**
 * The cost function of Dynamo's kv router 1.6.1, re-implemented from its rules as a baseline: prompt blocks to compute, less a
 * credit for cached ones, plus blocks in use. With a split layout the prefill router sees prefill load only, and the
 * decode router the blocks in use only.
 */
public final class DynamoKvPlacement implements Placement {

    /**
     * The router's settings; {@link #DEFAULTS} are its own.
     *
     * @param prefillLoadScale weight of the prompt term
     * @param overlapCredit credit a cached block
     * @param creditDecay how fast the credit fades with a worker's backlog
     * @param activeRequestWeight cost of a request in flight
     * @param temperature 0 = the cheapest; above, drawn by a softmax of the normalised costs
     * @param trackPrefill whether prompts not computed yet count
     */
    public record Options(
            double prefillLoadScale,
            double overlapCredit,
            double creditDecay,
            double activeRequestWeight,
            double temperature,
            boolean trackPrefill) {
        public static final Options DEFAULTS = new Options(1, 1, 0, 0, 0, true);

        public Options withPrefillLoadScale(double scale) {
            return new Options(scale, overlapCredit, creditDecay, activeRequestWeight, temperature, trackPrefill);
        }
    }

    private final Layout layout;
    private final Options options;
    private final int blockTokens;
    private final int blocksPerNode;
    private final SplittableRandom random;
    private final Load[] loads;
    private final Booking[] bookings;
    private final double[] costs;

    /** What is booked on a worker. */
    private static final class Load {
        long prefillTokens;
        int blocks;
        int requests;
        final Int2IntCounterMap references = new Int2IntCounterMap(0);
    }

    /** What one request booked where, so that it can be taken back. */
    private static final class Booking {
        int prefillTokens;
        int[] blocks = {};
        int anonymousBlocks;
        int worker = -1;
    }

    public DynamoKvPlacement(Trace trace, Layout layout, int blockTokens, Options options, long seed) {
        this.layout = layout;
        this.options = options;
        this.blockTokens = blockTokens;
        random = new SplittableRandom(seed);
        loads = new Load[layout.workers()];
        for (int w = 0; w < loads.length; w++) {
            loads[w] = new Load();
        }
        bookings = new Booking[trace.size()];
        blocksPerNode = trace.prefixBlockTokens() / blockTokens;
        costs = new double[layout.workers()];
    }

    @Override
    public Plan place(Arrival arrival) {
        long leastPrefill = Long.MAX_VALUE;
        for (int w = 0; w < layout.prefillEnd(); w++) {
            leastPrefill = Math.min(leastPrefill, loads[w].prefillTokens);
        }
        for (int w = 0; w < layout.prefillEnd(); w++) {
            costs[w] = cost(arrival, w, leastPrefill);
        }
        int worker = cheapest(0, layout.prefillEnd());
        book(arrival, worker);
        return layout.split() ? new Plan(worker, Plan.LATER) : Plan.whole(worker);
    }

    private double cost(Arrival arrival, int w, long leastPrefill) {
        Load load = loads[w];
        double active = options.trackPrefill() ? load.prefillTokens : 0;
        double own = options.trackPrefill() ? arrival.inputTokens() : 0;
        double raw = (active + own) / blockTokens;
        double requestBlocks = Math.max(Math.ceilDiv(arrival.inputTokens(), blockTokens), 1);
        double ahead = Math.max(load.prefillTokens - leastPrefill, 0) / (double) blockTokens;
        double decay = 1 / (1 + options.creditDecay() * ahead / requestBlocks);
        double credit = options.overlapCredit() * decay * arrival.depths()[w];
        double prompt = options.prefillLoadScale() * Math.max(raw - credit, 0);
        double inUse = layout.split() ? 0 : load.blocks + additionalBlocks(arrival, load);
        return prompt + inUse + options.activeRequestWeight() * load.requests;
    }

    private int additionalBlocks(Arrival arrival, Load load) {
        int b = 0;
        while (b < arrival.blocks() && load.references.get(id(arrival, b)) > 0) {
            b++;
        }
        return arrival.blocks() - b;
    }

    private int id(Arrival arrival, int block) {
        return arrival.nodes()[block / blocksPerNode] * blocksPerNode + block % blocksPerNode;
    }

    private int cheapest(int from, int to) {
        if (options.temperature() > 0) {
            return drawn(from, to);
        }
        int best = from;
        int ties = 1;
        for (int w = from + 1; w < to; w++) {
            if (costs[w] < costs[best]) {
                best = w;
                ties = 1;
            } else if (costs[w] == costs[best] && random.nextInt(++ties) == 0) {
                best = w;
            }
        }
        return best;
    }

    private int drawn(int from, int to) {
        double least = Double.MAX_VALUE;
        double most = -Double.MAX_VALUE;
        for (int w = from; w < to; w++) {
            least = Math.min(least, costs[w]);
            most = Math.max(most, costs[w]);
        }
        double width = Math.max(most - least, Double.MIN_NORMAL) * options.temperature();
        double sum = 0;
        for (int w = from; w < to; w++) {
            sum += Math.exp(-(costs[w] - least) / width);
        }
        double left = random.nextDouble() * sum;
        for (int w = from; w < to - 1; w++) {
            left -= Math.exp(-(costs[w] - least) / width);
            if (left < 0) {
                return w;
            }
        }
        return to - 1;
    }

    private void book(Arrival arrival, int worker) {
        Booking booking = new Booking();
        Load load = loads[worker];
        int cached = Math.min(arrival.depths()[worker] * blockTokens, arrival.inputTokens());
        booking.prefillTokens = Math.max(arrival.inputTokens() - cached, 0);
        booking.worker = worker;
        load.prefillTokens += booking.prefillTokens;
        load.requests++;
        if (!layout.split()) {
            booking.blocks = new int[arrival.blocks()];
            for (int b = 0; b < booking.blocks.length; b++) {
                int id = id(arrival, b);
                booking.blocks[b] = id;
                load.blocks += load.references.incrementAndGet(id) == 1 ? 1 : 0;
            }
        }
        bookings[arrival.request()] = booking;
    }

    @Override
    public int decodeWorker(Arrival arrival) {
        for (int w = layout.prefillEnd(); w < layout.workers(); w++) {
            costs[w] = loads[w].blocks + arrival.blocks() + options.activeRequestWeight() * loads[w].requests;
        }
        int worker = cheapest(layout.prefillEnd(), layout.workers());
        Booking booking = new Booking();
        booking.worker = worker;
        booking.anonymousBlocks = arrival.blocks();
        loads[worker].blocks += arrival.blocks();
        loads[worker].requests++;
        bookings[arrival.request()] = booking;
        return worker;
    }

    @Override
    public void prefillEnded(int request, int worker, long nowNanos) {
        Booking booking = bookings[request];
        loads[worker].prefillTokens -= booking.prefillTokens;
        booking.prefillTokens = 0;
        if (layout.split()) {
            loads[worker].requests--;
        }
    }

    @Override
    public void finished(int request, int worker, long nowNanos) {
        Booking booking = bookings[request];
        Load load = loads[booking.worker];
        load.requests--;
        load.blocks -= booking.anonymousBlocks;
        for (int id : booking.blocks) {
            if (load.references.decrementAndGet(id) == 0) {
                load.blocks--;
            }
        }
        bookings[request] = new Booking();
    }
}
