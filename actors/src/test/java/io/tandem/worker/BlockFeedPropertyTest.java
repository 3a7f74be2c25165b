package io.tandem.worker;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.tandem.kvcache.BlockEvents;
import io.tandem.kvcache.BlockPool;
import io.tandem.routing.BlockFeed;
import io.tandem.routing.BlockFeedMessage;
import io.tandem.routing.BlockFeedMessage.Events;
import io.tandem.routing.BlockFeedMessage.Snapshot;
import io.tandem.routing.PrefixIndex;
import io.tandem.routing.PromptKeys;
import io.tandem.routing.StepTimes;
import io.tandem.routing.WorkerDirectory;
import io.tandem.routing.WorkerFacts;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Real pools, logs and feed over a network that loses, doubles and reorders; in the end the index is the truth. */
class BlockFeedPropertyTest {
    private static final int WORKERS = 3;
    private static final long RETRY = 100;

    private final PrefixIndex index = new PrefixIndex(WORKERS, 10_000);
    private final BlockFeed feed = new BlockFeed(index, RETRY);
    private final List<Runnable> onTheWay = new ArrayList<>();
    private final List<long[]> prompts = new ArrayList<>();
    private final Worker[] workers = new Worker[WORKERS];
    private Random random;
    private double faults;
    private long now;

    /** A worker as far as its prefix cache goes. */
    private final class Worker {
        final String gpu;
        final long epoch;
        final BlockEventLog log;
        final BlockEvents events;
        final BlockPool pool;
        boolean live = true;

        Worker(String gpu, long epoch) {
            this.gpu = gpu;
            this.epoch = epoch;
            log = new BlockEventLog(gpu, epoch, 120, 40);
            events = new BlockEvents(40, (words, length) -> log.append(Arrays.copyOf(words, length)));
            pool = new BlockPool(40, events);
        }

        void run(long[] chain) {
            int held = 0;
            int[] blocks = new int[chain.length];
            for (long key : chain) {
                int block = pool.find(key, key);
                if (block == BlockPool.NONE) {
                    block = pool.allocate();
                    pool.publish(block, key, key, held == 0 ? 0 : chain[held - 1], held);
                } else {
                    pool.retain(block);
                }
                blocks[held++] = block;
            }
            while (held > 0) {
                pool.release(blocks[--held]);
            }
            events.flush();
        }

        void publish() {
            log.next().ifPresent(e -> send(e));
        }

        void fetch(BlockFeed.Fetch fetch) {
            if (fetch.epoch() != epoch) {
                return;
            }
            publish();
            log.since(fetch.fromId())
                    .ifPresentOrElse(
                            all -> all.forEach(e -> send(e)),
                            () -> log.snapshot(pool.findableBlocks()).forEach(s -> send(s)));
        }

        WorkerDirectory.Entry entry() {
            WorkerReport report = TestWorker.named(gpu)
                    .epoch(epoch)
                    .facts(new WorkerFacts(1, 1, 1, 1, log.lastId(), StepTimes.NOTHING, 0))
                    .report();
            return new WorkerDirectory.Entry(report, live, now);
        }
    }

    /** Puts a message on the way, or not, or twice; {@link #deliver} takes them in any order. */
    private void send(BlockFeedMessage message) {
        if (random.nextDouble() < faults) {
            return;
        }
        onTheWay.add(() -> {
            switch (message) {
                case Events e -> feed.onEvents(e, now).ifPresent(this::ask);
                case Snapshot s -> feed.onSnapshot(s, now).ifPresent(this::ask);
                default -> throw new AssertionError(message);
            }
        });
        if (random.nextDouble() < faults) {
            onTheWay.add(onTheWay.getLast());
        }
    }

    private void ask(BlockFeed.Fetch fetch) {
        if (random.nextDouble() >= faults) {
            onTheWay.add(() -> {
                for (Worker worker : workers) {
                    if (worker.gpu.equals(fetch.gpuId())) {
                        worker.fetch(fetch);
                    }
                }
            });
        }
    }

    private void deliver(int messages) {
        for (int i = 0; i < messages && !onTheWay.isEmpty(); i++) {
            int which = random.nextDouble() < faults ? random.nextInt(onTheWay.size()) : 0;
            onTheWay.remove(which).run();
        }
    }

    private void look() {
        feed.onWorkers(Arrays.stream(workers).map(Worker::entry).toList(), now).forEach(this::ask);
    }

    private long[] prompt() {
        if (!prompts.isEmpty() && random.nextInt(3) == 0) {
            return prompts.get(random.nextInt(prompts.size()));
        }
        long[] base = prompts.isEmpty() ? new long[0] : prompts.get(random.nextInt(prompts.size()));
        int keep = Math.min(random.nextInt(base.length + 1), 18);
        long[] chain = Arrays.copyOf(base, keep + 1 + random.nextInt(6));
        for (int i = keep; i < chain.length; i++) {
            chain[i] = random.nextLong();
        }
        if (prompts.size() < 200) {
            prompts.add(chain);
        }
        return chain;
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4, 5, 6, 7, 8})
    void shouldKnowTheTruthOnceEverybodyWasHeardOut(long seed) {
        random = new Random(seed);
        faults = seed % 4 * 0.1;
        for (int i = 0; i < WORKERS; i++) {
            workers[i] = new Worker("gpu-" + i, 1);
        }
        for (int round = 0; round < 4_000; round++) {
            now += 1 + random.nextInt(10);
            Worker worker = workers[random.nextInt(WORKERS)];
            switch (random.nextInt(12)) {
                case 0 -> look();
                case 1, 2, 3 -> worker.publish();
                case 4, 5, 6 -> deliver(1 + random.nextInt(4));
                case 7 -> disturb(worker);
                default -> worker.run(prompt());
            }
            worker.pool.verify();
            if (round % 400 == 399) {
                settle("seed " + seed + " round " + round);
            }
        }
        BlockFeed.Counts counts = feed.counts();
        assertTrue(counts.events() > 100 && counts.snapshots() > 5, counts.toString());
        assertTrue(faults == 0 || counts.gaps() > 10 && counts.duplicates() > 10, counts.toString());
        assertEquals(0, counts.refused());
    }

    private void disturb(Worker worker) {
        int which = Integer.parseInt(worker.gpu.substring(4));
        switch (random.nextInt(12)) {
            case 0 -> workers[which] = new Worker(worker.gpu, worker.epoch + 1);
            case 1 -> worker.live = !worker.live;
            case 2 -> {
                worker.pool.clearCache();
                worker.events.flush();
            }
            default -> {}
        }
    }

    private void settle(String when) {
        double before = faults;
        faults = 0;
        for (int i = 0; i < 8; i++) {
            now += 2 * RETRY;
            for (Worker worker : workers) {
                worker.live = true;
                worker.publish();
            }
            look();
            deliver(Integer.MAX_VALUE);
        }
        faults = before;
        int held = 0;
        int findable = 0;
        for (int i = 0; i < WORKERS; i++) {
            held += index.held(i);
            findable += workers[i].pool.findableBlocks().keys().length;
            assertTrue(feed.isLoaded(workers[i].gpu, workers[i].epoch), when);
        }
        assertEquals(findable, held, when);
        for (long[] chain : prompts) {
            BlockFeed.Depths depths = feed.find(new PromptKeys(1, chain));
            for (Worker worker : workers) {
                int depth = 0;
                while (depth < chain.length && worker.pool.find(chain[depth], chain[depth]) != BlockPool.NONE) {
                    depth++;
                }
                assertEquals(depth, depths.of(worker.gpu, worker.epoch), when + " " + worker.gpu);
                assertEquals(0, depths.of(worker.gpu, worker.epoch + 1), "of another incarnation nothing is known");
            }
        }
    }
}
