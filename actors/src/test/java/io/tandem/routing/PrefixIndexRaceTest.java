package io.tandem.routing;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.Test;

/**
 * Readers beside the writer. What a look-up may answer at any moment is narrowed down until a torn, stale or half-made read
 * would show.
 */
class PrefixIndexRaceTest {
    private static final int WORKERS = 12;
    private static final int WRITES = 60_000;

    private final PrefixIndex index = new PrefixIndex(WORKERS, 20_000);

    private interface Check {
        void accept(int prompt, PrefixMatch match) throws Exception;
    }

    /** Looks up from two threads until the writer is done; answers how many look-ups there were. */
    private long race(long[][] prompts, Check check, Runnable writes) throws Exception {
        return race(index, prompts, check, writes);
    }

    private static long race(PrefixIndex index, long[][] prompts, Check check, Runnable writes) throws Exception {
        AtomicBoolean done = new AtomicBoolean();
        try (ExecutorService readers = Executors.newFixedThreadPool(2)) {
            List<Future<Long>> running = new ArrayList<>();
            for (int r = 0; r < 2; r++) {
                Callable<Long> reader = () -> {
                    PrefixMatch match = new PrefixMatch(WORKERS);
                    long lookUps = 0;
                    while (!done.get()) {
                        int number = (int) (lookUps++ % prompts.length);
                        index.find(prompts[number], 0, prompts[number].length, match);
                        check.accept(number, match);
                    }
                    return lookUps;
                };
                running.add(readers.submit(reader));
            }
            try {
                writes.run();
            } finally {
                done.set(true);
            }
            long lookUps = 0;
            for (Future<Long> one : running) {
                lookUps += one.get();
            }
            return lookUps;
        }
    }

    /**
     * One worker takes over from another, step by step: first it stores, then the other removes. So at each moment one of
     * them holds the whole chain, in whatever run it is; runs are freed, moved and made anew all the while.
     */
    @Test
    void aChainThatIsAlwaysHeldIsAlwaysFound() throws Exception {
        long[] trunk = Chains.chain(1, 20);
        long[] chain = Chains.continued(trunk, 2, 60);
        index.store(0, 0, 0, chain, 0, 80);
        long lookUps = race(
                new long[][] {chain},
                (prompt, match) -> {
                    assertEquals(80, match.best());
                    assertTrue(match.count() <= WORKERS);
                },
                () -> {
                    Random random = new Random(3);
                    int holder = 0;
                    for (int i = 0; i < WRITES; i++) {
                        int next = (holder + 1) % WORKERS;
                        long[] noise = Chains.continued(
                                Arrays.copyOf(chain, random.nextInt(80)), random.nextLong(), 1 + random.nextInt(50));
                        index.store(next, 0, 0, chain, 0, 80);
                        index.store(next, 0, 0, noise, 0, noise.length);
                        index.remove(holder, chain, 0, 80);
                        index.clear(holder);
                        holder = next;
                    }
                });
        assertTrue(lookUps > 0);
    }

    /**
     * Chains come and go, each held by the one worker its number names, and ids and memory of the gone ones are used
     * again: a look-up must never credit a worker with another's chain.
     */
    @Test
    void nobodyIsCreditedWithAnothersChain() throws Exception {
        int count = 48;
        long[][] chains = new long[count][];
        for (int i = 0; i < count; i++) {
            chains[i] = Chains.chain(100 + i, 5 + i % 7 * 9);
        }
        long lookUps = race(
                chains,
                (prompt, match) -> {
                    assertTrue(match.count() <= 1);
                    if (match.count() == 1) {
                        assertEquals(prompt % WORKERS, match.worker(0));
                        assertTrue(match.best() <= chains[prompt].length);
                    }
                },
                () -> {
                    Random random = new Random(4);
                    for (int i = 0; i < WRITES * 4; i++) {
                        int number = random.nextInt(count);
                        long[] chain = chains[number];
                        int worker = number % WORKERS;
                        int keep = random.nextInt(chain.length);
                        index.store(worker, 0, 0, chain, 0, chain.length);
                        index.remove(worker, chain, keep, chain.length - keep);
                        if (random.nextBoolean()) {
                            index.remove(worker, chain, 0, chain.length);
                        }
                    }
                });
        assertTrue(lookUps > 0);
    }

    /**
     * Trunk and tail are different runs. The tail goes from one worker to another and back, and whoever has no tail drops
     * and regains the trunk: at each moment one of them holds both, but a look-up that took the trunk of one moment and the
     * tail of a later one would find neither whole.
     */
    @Test
    void runsOfOneAnswerAreOfOneMoment() throws Exception {
        long[] trunk = Chains.chain(1, 16);
        long[] other = Chains.continued(trunk, 9, 8);
        long[] chain = Chains.continued(trunk, 2, 16);
        index.store(WORKERS - 1, 0, 0, other, 0, other.length);
        index.store(0, 0, 0, chain, 0, 32);
        index.store(1, 0, 0, chain, 0, 16);
        long lookUps = race(new long[][] {chain}, (prompt, match) -> assertEquals(32, match.best()), () -> {
            for (int i = 0; i < WRITES * 4; i++) {
                int from = i & 1;
                int to = 1 - from;
                index.store(to, chain[15], 16, chain, 16, 16);
                index.remove(from, chain, 16, 16);
                index.remove(from, chain, 0, 16);
                index.store(from, 0, 0, chain, 0, 16);
            }
        });
        assertTrue(lookUps > 0);
    }

    /** A full index evicts whole chains under the readers, and its memory is used again at once: all of a chain or nothing. */
    @Test
    void anEvictedChainIsGoneAtOnce() throws Exception {
        PrefixIndex full = new PrefixIndex(WORKERS, 600);
        long[][] chains = new long[64][];
        for (int i = 0; i < chains.length; i++) {
            chains[i] = Chains.chain(500 + i, 40 + i % 5 * 20);
        }
        long lookUps = race(
                full,
                chains,
                (prompt, match) -> {
                    assertTrue(match.best() == 0 || match.best() == chains[prompt].length);
                    assertTrue(match.count() == 0 || match.worker(0) == prompt % WORKERS);
                },
                () -> {
                    Random random = new Random(7);
                    for (int i = 0; i < WRITES * 4; i++) {
                        int number = random.nextInt(chains.length);
                        full.store(number % WORKERS, 0, 0, chains[number], 0, chains[number].length);
                    }
                });
        assertTrue(lookUps > 0);
        assertTrue(full.evictedBlocks() > 0);
    }
}
