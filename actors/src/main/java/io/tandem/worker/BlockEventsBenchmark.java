package io.tandem.worker;

import com.esotericsoftware.kryo.Kryo;
import com.esotericsoftware.kryo.io.Input;
import com.esotericsoftware.kryo.io.Output;
import io.tandem.compute.BackendInfo;
import io.tandem.engine.EngineRole;
import io.tandem.engine.EngineStats;
import io.tandem.kvcache.BlockEvents;
import io.tandem.kvcache.BlockPool;
import io.tandem.routing.BlockFeed;
import io.tandem.routing.BlockFeedMessage.Events;
import io.tandem.routing.PrefixIndex;
import io.tandem.routing.StepTimes;
import io.tandem.routing.WorkerDirectory;
import io.tandem.routing.WorkerFacts;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Random;

/**
 * What block events cost: real block pools and event logs of many workers under a steady load with full caches, and one
 * router that reads their messages as they come off the wire. Serialisation is in it, the network is not.
 */
public final class BlockEventsBenchmark {
    private static final int TICKS_A_SECOND = 100;
    private static final int PREFIX_FAMILIES = 32;

    /**
     * @param workers that one router listens to
     * @param requestsPerSecond of each worker
     * @param prefixBlocks of a prompt, shared by the requests of one of 32 families
     * @param promptBlocks of a prompt besides those
     * @param outputBlocks of an output; one every {@code ticksPerBlock} hundredths of a second
     * @param poolBlocks of each worker
     * @param seconds measured
     */
    public record Plan(
            int workers,
            double requestsPerSecond,
            int prefixBlocks,
            int promptBlocks,
            int outputBlocks,
            int ticksPerBlock,
            int poolBlocks,
            int seconds,
            long seed) {}

    /** Per second of the simulated load, all workers together. */
    public record Row(
            double blocksStored,
            double messages,
            double megabytes,
            double workerCpuPercent,
            double routerCpuPercent,
            long indexBytes,
            long heldBlocks) {}

    private final Plan plan;
    private final Random random;
    private final Worker[] workers;
    private final long[][] families = new long[PREFIX_FAMILIES][];
    private final Kryo kryo = new Kryo();
    private final Output output = new Output(4096, 16 << 20);
    private long stored;

    private BlockEventsBenchmark(Plan plan) {
        this.plan = plan;
        random = new Random(plan.seed());
        workers = new Worker[plan.workers()];
        Arrays.setAll(workers, i -> new Worker("gpu-" + i));
        Arrays.setAll(families, i -> chain(plan.prefixBlocks()));
        kryo.register(long[].class, 21);
        kryo.register(Events.class, 200);
    }

    private long[] chain(int blocks) {
        return random.longs(blocks).toArray();
    }

    /** One worker's cache: prompts come whole, output blocks one after another. */
    private final class Worker {
        final String gpu;
        final BlockEventLog log;
        final BlockEvents events;
        final BlockPool pool;
        final List<Running> running = new ArrayList<>();
        double due;

        Worker(String gpu) {
            this.gpu = gpu;
            log = new BlockEventLog(gpu, 1, 65_536, BlockEventLog.MESSAGE_WORDS);
            events = new BlockEvents(4096, (words, length) -> log.append(Arrays.copyOf(words, length)));
            pool = new BlockPool(plan.poolBlocks(), events);
        }

        void tick() {
            for (due += plan.requestsPerSecond() / TICKS_A_SECOND * 2 * random.nextDouble(); due >= 1; due--) {
                begin();
            }
            running.removeIf(this::over);
            events.flush();
        }

        private void begin() {
            long[] prefix = families[random.nextInt(PREFIX_FAMILIES)];
            long[] keys = Arrays.copyOf(prefix, prefix.length + plan.promptBlocks());
            for (int i = prefix.length; i < keys.length; i++) {
                keys[i] = random.nextLong();
            }
            Running r = new Running(keys.length + plan.outputBlocks());
            for (long key : keys) {
                r.add(this, key);
            }
            running.add(r);
        }

        private boolean over(Running r) {
            if (++r.ticks % plan.ticksPerBlock() == 0) {
                r.add(this, random.nextLong());
            }
            if (r.count < r.blocks.length) {
                return false;
            }
            while (r.count > 0) {
                pool.release(r.blocks[--r.count]);
            }
            return true;
        }
    }

    private final class Running {
        final int[] blocks;
        int count;
        int ticks;
        long last;

        Running(int capacity) {
            blocks = new int[capacity];
        }

        void add(Worker worker, long key) {
            int block = worker.pool.find(key, key);
            if (block == BlockPool.NONE) {
                block = worker.pool.allocate();
                if (block == BlockPool.NONE) {
                    throw new IllegalArgumentException("the pool is too small for the requests that run at a time");
                }
                worker.pool.publish(block, key, key, last, count);
                stored++;
            } else {
                worker.pool.retain(block);
            }
            last = key;
            blocks[count++] = block;
        }
    }

    /** One run: fills the caches, then measures. */
    public static Row run(Plan plan) {
        return new BlockEventsBenchmark(plan).measure();
    }

    private Row measure() {
        PrefixIndex index = new PrefixIndex(plan.workers(), 1 << 24);
        BlockFeed feed = new BlockFeed(index, 1_000_000_000L);
        for (Worker worker : workers) {
            while (worker.pool.freeBlocks() > 0) {
                worker.tick();
            }
        }
        listen(feed);
        for (int second = 0; second < 2; second++) {
            second(feed);
        }
        stored = 0;
        long[] sums = new long[4];
        for (int second = 0; second < plan.seconds(); second++) {
            long[] one = second(feed);
            Arrays.setAll(sums, i -> sums[i] + one[i]);
        }
        long held = 0;
        for (int i = 0; i < plan.workers(); i++) {
            held += index.held(i);
        }
        check(held);
        double seconds = plan.seconds();
        return new Row(
                stored / seconds,
                sums[0] / seconds,
                sums[1] / seconds / 1e6,
                sums[2] / seconds / 1e7,
                sums[3] / seconds / 1e7,
                index.bytes(),
                held);
    }

    private void listen(BlockFeed feed) {
        BackendInfo backend = new BackendInfo("benchmark", "", List.of(), true, 0);
        EngineStats stats = new EngineStats(EngineRole.MIXED, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
        List<WorkerDirectory.Entry> entries = new ArrayList<>();
        for (Worker worker : workers) {
            worker.log.next();
            WorkerFacts facts = new WorkerFacts(1, 1, 16, 1, worker.log.lastId(), StepTimes.NOTHING, 0);
            entries.add(new WorkerDirectory.Entry(
                    new WorkerReport(worker.gpu, "", 1, "", "", "", backend, "", false, 1, stats, facts), true, 0));
        }
        feed.onWorkers(entries, 0);
        for (Worker worker : workers) {
            worker.log.snapshot(worker.pool.findableBlocks()).forEach(part -> feed.onSnapshot(part, 0));
        }
    }

    /** Messages, bytes, CPU nanoseconds of the workers and of the router in one second of load. */
    private long[] second(BlockFeed feed) {
        var threads = ManagementFactory.getThreadMXBean();
        List<byte[]> wire = new ArrayList<>();
        long bytes = 0;
        long worked = 0;
        for (int tick = 0; tick < TICKS_A_SECOND; tick++) {
            for (Worker worker : workers) {
                worker.tick();
                long start = threads.getCurrentThreadCpuTime();
                worker.log.next().ifPresent(events -> wire.add(written(events)));
                worked += threads.getCurrentThreadCpuTime() - start;
            }
        }
        for (byte[] message : wire) {
            bytes += message.length;
        }
        long start = threads.getCurrentThreadCpuTime();
        for (byte[] message : wire) {
            if (feed.onEvents(kryo.readObject(new Input(message), Events.class), 0)
                    .isPresent()) {
                throw new IllegalStateException("an event is missing");
            }
        }
        return new long[] {wire.size(), bytes, worked, threads.getCurrentThreadCpuTime() - start};
    }

    private byte[] written(Events events) {
        output.reset();
        kryo.writeObject(output, events);
        return output.toBytes();
    }

    private void check(long held) {
        long truth = 0;
        for (Worker worker : workers) {
            truth += worker.pool.findableBlocks().keys().length;
        }
        if (held != truth) {
            throw new IllegalStateException("the index says " + held + " blocks, the workers hold " + truth);
        }
    }

    /** Runs and writes a table, a line for each number of workers. */
    public static String markdown(List<Integer> workers, int repeats, int seconds) {
        StringBuilder out = new StringBuilder("| workers | blocks stored/s | events/s | MB/s | MB/s a worker "
                + "| workers' CPU in all, percent of a core | router's CPU, percent of a core, median (lowest to highest) "
                + "| index MB | blocks held |\n|---|---|---|---|---|---|---|---|---|\n");
        for (int count : workers) {
            List<Row> rows = new ArrayList<>();
            for (int i = 0; i < repeats; i++) {
                rows.add(run(new Plan(count, 10, 64, 64, 16, 32, 8192, seconds, i)));
            }
            rows.sort((a, b) -> Double.compare(a.routerCpuPercent(), b.routerCpuPercent()));
            Row r = rows.get(rows.size() / 2);
            out.append(String.format(
                    Locale.ROOT,
                    "| %d | %,.0f | %,.0f | %.2f | %.4f | %.1f | %.1f (%.1f to %.1f) | %.0f | %,d |%n",
                    count,
                    r.blocksStored(),
                    r.messages(),
                    r.megabytes(),
                    r.megabytes() / count,
                    r.workerCpuPercent(),
                    r.routerCpuPercent(),
                    rows.getFirst().routerCpuPercent(),
                    rows.getLast().routerCpuPercent(),
                    r.indexBytes() / 1e6,
                    r.heldBlocks()));
        }
        return out.toString();
    }
}
