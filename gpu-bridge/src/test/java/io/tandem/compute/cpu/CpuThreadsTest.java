package io.tandem.compute.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

class CpuThreadsTest {

    /** Two items that wait for each other run on two threads: one of them on the helper. */
    private static void onBoth(CpuThreads threads, CpuThreads.Task task) {
        CyclicBarrier both = new CyclicBarrier(2);
        threads.run(
                (item, thread) -> {
                    try {
                        both.await();
                    } catch (Exception e) {
                        throw new IllegalStateException(e);
                    }
                    task.run(item, thread);
                },
                2);
    }

    @Test
    void shouldTellOfAnErrorOnAHelperAndGoOnAfterIt() {
        try (CpuThreads threads = new CpuThreads(2)) {
            for (int round = 0; round < 3; round++) {
                IllegalStateException e = assertThrows(
                        IllegalStateException.class,
                        () -> onBoth(threads, (item, thread) -> {
                            if (thread > 0) {
                                throw new InternalError("the file is shorter now");
                            }
                        }));
                assertTrue(e.getMessage().contains("the file is shorter now"), e.getMessage());
                AtomicInteger done = new AtomicInteger();
                onBoth(threads, (item, thread) -> done.incrementAndGet());
                assertEquals(2, done.get());
            }
        }
    }

    /** Both fail in one task: the second failure is not the next task's. */
    @Test
    void shouldForgetAFailureWithItsTask() {
        try (CpuThreads threads = new CpuThreads(2)) {
            assertThrows(
                    RuntimeException.class,
                    () -> onBoth(threads, (item, thread) -> {
                        throw new UnsupportedOperationException("on purpose");
                    }));
            AtomicInteger done = new AtomicInteger();
            onBoth(threads, (item, thread) -> done.incrementAndGet());
            assertEquals(2, done.get());
        }
    }
}
