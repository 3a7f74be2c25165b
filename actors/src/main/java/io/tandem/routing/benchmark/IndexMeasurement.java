package io.tandem.routing.benchmark;

import io.tandem.kvcache.Xxh3;
import io.tandem.routing.PrefixIndex;
import io.tandem.routing.PrefixMatch;
import io.tandem.routing.benchmark.IndexCorpus.Removed;
import io.tandem.routing.benchmark.IndexCorpus.Stored;
import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.util.Arrays;
import java.util.concurrent.BrokenBarrierException;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.locks.LockSupport;
import org.agrona.concurrent.OneToOneConcurrentArrayQueue;

/**
 * One measurement of {@link PrefixIndex} in this process: build, look-ups, and both mixed, on one and on two threads. The first
 * rounds of each are thrown away: they are the compiler's. Rates are by a thread's own time, by that of the busier one where two
 * work, so that they are those of an idle machine; percentiles are by the clock.
 */
final class IndexMeasurement {
    private static final ThreadMXBean THREADS = ManagementFactory.getThreadMXBean();
    private static final int WARM_UP_ROUNDS = 8;
    private static final int WARM_UP_PASSES = 20;
    private static final int PASSES = 5;
    private static final int MAX_BLOCKS = 1 << 24;

    /** What a phase says of itself: block operations a second, and how long a look-up took. */
    record Rate(double operationsPerSecond, double blocksPerSecond, long p50Nanos, long p99Nanos) {}

    /** Sums over look-ups, which must be those of any other exact index. */
    record Checksums(long depths, long best) {}

    /** All figures of a process. */
    record Result(
            Rate build,
            Rate lookUp,
            Rate lookUpTwoThreads,
            Rate lookUpFromLocals,
            Rate mixed,
            Rate mixedTwoThreads,
            double bytesPerEntry,
            double heapBytesPerEntry,
            Checksums built,
            long bestSeenMixed,
            Checksums afterMixed) {}

    private final long[][] locals;
    private final long[][] prompts;
    private final int workers;
    private final IndexCorpus unlimited;
    private final IndexCorpus limited;
    private final PrefixMatch match;

    IndexMeasurement(long[][] locals, int workers, int capBlocks) {
        this.locals = locals;
        this.workers = workers;
        prompts = IndexCorpus.sequences(locals);
        unlimited = IndexCorpus.of(prompts, workers, 0);
        limited = IndexCorpus.of(prompts, workers, capBlocks);
        match = new PrefixMatch(workers);
    }

    IndexCorpus.Totals unlimitedTotals() {
        return unlimited.totals;
    }

    IndexCorpus.Totals limitedTotals() {
        return limited.totals;
    }

    Result measure() throws InterruptedException {
        for (int i = 0; i < WARM_UP_ROUNDS; i++) {
            build(newIndex());
        }
        long heapBefore = heapBytes();
        PrefixIndex index = newIndex();
        Rate build = build(index);
        long heap = heapBytes() - heapBefore;
        double entries = unlimited.totals.storedBlocks();
        Checksums built = checksums(index);
        Rate lookUp = lookUp(index);
        Rate lookUpTwoThreads = lookUpTwoThreads(index);
        Rate fromLocals = lookUpFromLocals(index);
        double bytes = index.bytes();
        for (int i = 0; i < WARM_UP_ROUNDS; i++) {
            mixed(newIndex());
        }
        index = newIndex();
        long[] bestSeen = new long[1];
        Rate mixed = mixed(index, bestSeen);
        Checksums afterMixed = checksums(index);
        for (int i = 0; i < WARM_UP_ROUNDS; i++) {
            mixedTwoThreads(newIndex());
        }
        index = newIndex();
        Rate mixedTwoThreads = mixedTwoThreads(index);
        check(afterMixed.equals(checksums(index)), "two threads must leave the state that one leaves");
        return new Result(
                build,
                lookUp,
                lookUpTwoThreads,
                fromLocals,
                mixed,
                mixedTwoThreads,
                bytes / entries,
                heap / entries,
                built,
                bestSeen[0],
                afterMixed);
    }

    /** What the index answers, without a clock. */
    ReferenceFigures.Answers answers() {
        PrefixIndex index = newIndex();
        build(index);
        Checksums built = checksums(index);
        index = newIndex();
        long[] bestSeen = new long[1];
        mixed(index, bestSeen);
        return new ReferenceFigures.Answers(workers, built, bestSeen[0], checksums(index));
    }

    private static void check(boolean holds, String what) {
        if (!holds) {
            throw new IllegalStateException(what);
        }
    }

    private PrefixIndex newIndex() {
        return new PrefixIndex(workers, MAX_BLOCKS);
    }

    // ---- build

    private Rate build(PrefixIndex index) {
        Stored[] owned = owned(unlimited.stored);
        long start = cpuNanos();
        for (int i = 0; i < owned.length; i++) {
            if (owned[i] != null) {
                apply(index, owned[i]);
                owned[i] = null;
            }
        }
        double seconds = (cpuNanos() - start) / 1e9;
        return new Rate(unlimited.totals.storedEvents() / seconds, unlimited.totals.storedBlocks() / seconds, 0, 0);
    }

    /** Events with blocks of their own, as they come off the wire. */
    private static Stored[] owned(Stored[] events) {
        Stored[] owned = new Stored[events.length];
        for (int i = 0; i < owned.length; i++) {
            Stored e = events[i];
            owned[i] = e == null
                    ? null
                    : new Stored(
                            e.worker(), e.parent(), e.position(), e.hashes().clone());
        }
        return owned;
    }

    private static void apply(PrefixIndex index, Stored event) {
        long[] hashes = event.hashes();
        int taken = index.store(event.worker(), event.parent(), event.position(), hashes, 0, hashes.length);
        check(taken == hashes.length, "every block must be taken");
    }

    // ---- look-ups

    private Checksums checksums(PrefixIndex index) {
        long depths = 0;
        long best = 0;
        for (long[] prompt : prompts) {
            index.find(prompt, 0, prompt.length, match);
            for (int i = 0; i < match.count(); i++) {
                depths += match.depth(match.worker(i));
            }
            best += match.best();
        }
        return new Checksums(depths, best);
    }

    private Rate lookUp(PrefixIndex index) {
        double[] seconds = new double[PASSES];
        for (int pass = -WARM_UP_PASSES; pass < PASSES; pass++) {
            long start = cpuNanos();
            long best = lookUps(index, 0, 1, match);
            seconds[Math.max(pass, 0)] = (cpuNanos() - start) / 1e9;
            check(best == unlimited.totals.requestBlocks(), "each prompt is held whole by somebody");
        }
        int[] nanos = new int[prompts.length];
        for (int r = 0; r < nanos.length; r++) {
            long[] prompt = prompts[r];
            long start = System.nanoTime();
            index.find(prompt, 0, prompt.length, match);
            nanos[r] = (int) (System.nanoTime() - start);
        }
        return lookUpRate(median(seconds), nanos);
    }

    private long lookUps(PrefixIndex index, int first, int step, PrefixMatch into) {
        long best = 0;
        for (int r = first; r < prompts.length; r += step) {
            index.find(prompts[r], 0, prompts[r].length, into);
            best += into.best();
        }
        return best;
    }

    private Rate lookUpRate(double seconds, int[] nanos) {
        Arrays.sort(nanos);
        return new Rate(
                prompts.length / seconds,
                unlimited.totals.requestBlocks() / seconds,
                percentile(nanos, 50),
                percentile(nanos, 99));
    }

    private Rate lookUpTwoThreads(PrefixIndex index) throws InterruptedException {
        CyclicBarrier barrier = new CyclicBarrier(2);
        double[][] seconds = new double[2][PASSES];
        Thread[] readers = new Thread[2];
        for (int t = 0; t < 2; t++) {
            int first = t;
            readers[t] = Thread.ofPlatform().name("reader-" + t).start(() -> {
                PrefixMatch own = new PrefixMatch(workers);
                for (int pass = 0; pass < PASSES; pass++) {
                    await(barrier);
                    long start = cpuNanos();
                    lookUps(index, first, 2, own);
                    seconds[first][pass] = (cpuNanos() - start) / 1e9;
                }
            });
        }
        for (Thread reader : readers) {
            reader.join();
        }
        double median = Math.max(median(seconds[0]), median(seconds[1]));
        return new Rate(prompts.length / median, unlimited.totals.requestBlocks() / median, 0, 0);
    }

    private static void await(CyclicBarrier barrier) {
        try {
            barrier.await();
        } catch (InterruptedException | BrokenBarrierException e) {
            throw new IllegalStateException(e);
        }
    }

    /** Look-ups that begin with block hashes and chain them first, as an index of block hashes has no need to. */
    private Rate lookUpFromLocals(PrefixIndex index) {
        Xxh3 xxh3 = new Xxh3(Xxh3.BLOCK_SEED);
        long[] chain =
                new long[Arrays.stream(locals).mapToInt(l -> l.length).max().orElse(0)];
        int[] nanos = new int[locals.length];
        double[] seconds = new double[PASSES];
        for (int pass = -WARM_UP_PASSES; pass < PASSES; pass++) {
            long began = cpuNanos();
            for (int r = 0; r < locals.length; r++) {
                long start = System.nanoTime();
                xxh3.chain(locals[r], locals[r].length, chain);
                index.find(chain, 0, locals[r].length, match);
                nanos[r] = (int) (System.nanoTime() - start);
            }
            seconds[Math.max(pass, 0)] = (cpuNanos() - began) / 1e9;
        }
        return lookUpRate(median(seconds), nanos);
    }

    // ---- look-ups and events in the order of the trace

    private Rate mixed(PrefixIndex index) {
        return mixed(index, new long[1]);
    }

    private Rate mixed(PrefixIndex index, long[] bestSeen) {
        Stored[] owned = owned(limited.stored);
        int[] nanos = new int[prompts.length];
        long began = cpuNanos();
        for (int r = 0; r < prompts.length; r++) {
            long start = System.nanoTime();
            index.find(prompts[r], 0, prompts[r].length, match);
            nanos[r] = (int) (System.nanoTime() - start);
            bestSeen[0] += match.best();
            applyMixed(index, limited.removed[r], owned[r]);
            owned[r] = null;
        }
        return mixedRate((cpuNanos() - began) / 1e9, nanos);
    }

    private static void applyMixed(PrefixIndex index, Removed removed, Stored stored) {
        if (removed != null) {
            long[] hashes = removed.hashes();
            int gone = index.remove(removed.worker(), hashes, 0, hashes.length);
            check(gone == hashes.length, "every evicted block must have been held");
        }
        if (stored != null) {
            apply(index, stored);
        }
    }

    private Rate mixedRate(double seconds, int[] nanos) {
        Arrays.sort(nanos);
        IndexCorpus.Totals totals = limited.totals;
        long operations = prompts.length + totals.storedEvents() + totals.removedEvents();
        return new Rate(
                operations / seconds, totals.blockOperations() / seconds, percentile(nanos, 50), percentile(nanos, 99));
    }

    /** One thread looks up and sends the events to the other, which applies them; ends when all are applied. */
    private Rate mixedTwoThreads(PrefixIndex index) throws InterruptedException {
        Stored[] owned = owned(limited.stored);
        int[] nanos = new int[prompts.length];
        OneToOneConcurrentArrayQueue<Runnable> events = new OneToOneConcurrentArrayQueue<>(prompts.length + 1);
        CyclicBarrier barrier = new CyclicBarrier(2);
        double[] writerSeconds = new double[1];
        Thread writer = Thread.ofPlatform().name("writer").start(() -> {
            await(barrier);
            long start = cpuNanos();
            for (int done = 0; done < prompts.length; ) {
                Runnable event = events.poll();
                if (event == null) {
                    LockSupport.parkNanos(1_000);
                } else {
                    event.run();
                    done++;
                }
            }
            writerSeconds[0] = (cpuNanos() - start) / 1e9;
        });
        await(barrier);
        long began = cpuNanos();
        for (int r = 0; r < prompts.length; r++) {
            long start = System.nanoTime();
            index.find(prompts[r], 0, prompts[r].length, match);
            nanos[r] = (int) (System.nanoTime() - start);
            Removed removed = limited.removed[r];
            Stored stored = owned[r];
            owned[r] = null;
            check(events.offer(() -> applyMixed(index, removed, stored)), "the queue holds all events");
        }
        double seconds = (cpuNanos() - began) / 1e9;
        writer.join();
        return mixedRate(Math.max(seconds, writerSeconds[0]), nanos);
    }

    // ---- arithmetic

    /** This thread's own time: what else the machine does is not counted. */
    private static long cpuNanos() {
        return THREADS.getCurrentThreadCpuTime();
    }

    private static double median(double[] values) {
        double[] sorted = values.clone();
        Arrays.sort(sorted);
        return sorted[sorted.length / 2];
    }

    private static long percentile(int[] sorted, int percent) {
        return sorted[(int) Math.min(sorted.length - 1L, (long) sorted.length * percent / 100)];
    }

    private static long heapBytes() {
        System.gc();
        System.gc();
        return ManagementFactory.getMemoryMXBean().getHeapMemoryUsage().getUsed();
    }
}
