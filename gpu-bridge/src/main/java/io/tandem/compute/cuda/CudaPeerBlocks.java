package io.tandem.compute.cuda;

import io.tandem.compute.cuda.CudaDriver.Event;
import io.tandem.compute.cuda.CudaDriver.Kernel;
import io.tandem.compute.cuda.CudaDriver.Stream;
import io.tandem.kvcache.KvLayout;
import io.tandem.kvcache.PeerBlocks;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Consumer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * KV blocks of other workers on this host, by CUDA's memory handles between processes and by peer copies within one. One thread
 * and one stream of its own, beside the passes; the queue is bounded by the leases and links there are.
 */
final class CudaPeerBlocks implements PeerBlocks, AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(CudaPeerBlocks.class);
    private static final long POLL_NANOS = 20_000;
    private static final int MAX_TOGETHER = 512;

    /** The pools of this process: CUDA opens no handle in the process that made it. */
    private static final Map<Long, CudaPeerBlocks> HERE = new ConcurrentHashMap<>();

    /** Another worker's pool. */
    private record Source(long base, int blocks, CudaDriver owner) {}

    /** Something to be done on the thread. */
    private interface Task {
        void run(Stream stream, Event over);

        void fail(String failure);
    }

    private final CudaDriver driver;
    private final KvLayout layout;
    private final long base;
    private final Event lastPass;
    private final Kernel sumKernel;
    private final int sumThreads;
    private final int slices;
    private final long pool = ThreadLocalRandom.current().nextLong();
    private final byte[] ticket;
    private final Map<Long, Source> sources = new HashMap<>();
    private final LinkedBlockingQueue<Task> queue = new LinkedBlockingQueue<>();
    private final Arena arena = Arena.ofShared();
    private final MemorySegment arguments;
    private final long scratch;
    private final MemorySegment host;
    private final Thread thread;
    private volatile boolean closed;

    /**
     * @param base where this worker's blocks begin
     * @param lastPass the mark behind the latest pass, which may still write to a block that is given to another sequence
     * @throws CudaException when the device does not share memory
     */
    CudaPeerBlocks(CudaDriver driver, KvLayout layout, int blocks, long base, Event lastPass, Kernels kernels) {
        this.driver = driver;
        this.layout = layout;
        this.base = base;
        this.lastPass = lastPass;
        sumKernel = kernels.kernel(KernelName.BLOCK_SUM);
        sumThreads = kernels.figure(KernelName.BLOCK_SUM, "threads");
        int bytes = kernels.figure(KernelName.BLOCK_SUM, "bytes");
        slices = (int) ((layout.blockBytes() + bytes - 1) / bytes);
        ticket = new PoolTicket(
                        pool,
                        ProcessHandle.current().pid(),
                        layout.blockBytes(),
                        blocks,
                        driver.uuid(),
                        driver.share(base))
                .bytes();
        arguments = arena.allocate(16L * Kernels.MAX_PARAMETERS, 8);
        for (int i = 0; i < Kernels.MAX_PARAMETERS; i++) {
            arguments.setAtIndex(ValueLayout.JAVA_LONG, i, arguments.address() + 8L * (Kernels.MAX_PARAMETERS + i));
        }
        scratch = driver.allocate(12L * MAX_TOGETHER);
        host = driver.allocatePinned(12L * MAX_TOGETHER);
        HERE.put(pool, this);
        thread = Thread.ofPlatform().name("kv-peers").daemon().start(this::run);
    }

    @Override
    public String kind() {
        return "cuda-ipc";
    }

    @Override
    public byte[] ticket() {
        return ticket.clone();
    }

    @Override
    public void open(long link, byte[] theirs, Consumer<String> done) {
        add(new Task() {
            @Override
            public void run(Stream stream, Event over) {
                try {
                    sources.put(link, source(PoolTicket.of(theirs)));
                } catch (CudaException | IllegalArgumentException | IllegalStateException e) {
                    done.accept(e.getMessage());
                    return;
                }
                done.accept("");
            }

            @Override
            public void fail(String failure) {
                done.accept(failure);
            }
        });
    }

    private Source source(PoolTicket t) {
        if (t.blockBytes() != layout.blockBytes()) {
            throw new IllegalStateException(
                    "the peer's blocks have " + t.blockBytes() + " bytes, these " + layout.blockBytes());
        }
        String refusal = driver.peerRefusal(t.device());
        if (!refusal.isEmpty()) {
            throw new IllegalStateException(refusal);
        }
        CudaPeerBlocks here = HERE.get(t.pool());
        if (here != null) {
            driver.enablePeer(here.driver);
            return new Source(here.base, t.blocks(), here.driver);
        }
        return new Source(driver.openShared(t.handle()), t.blocks(), null);
    }

    @Override
    public void close(long link, Runnable done) {
        add(new Task() {
            @Override
            public void run(Stream stream, Event over) {
                release(sources.remove(link));
                done.run();
            }

            @Override
            public void fail(String failure) {
                done.run();
            }
        });
    }

    private void release(Source source) {
        if (source != null && source.owner() == null) {
            try {
                driver.closeShared(source.base());
            } catch (CudaException e) {
                LOG.warn("a peer's blocks cannot be closed: {}", e.getMessage());
            }
        }
    }

    @Override
    public void fetch(long link, int[] from, int[] to, SumListener done) {
        add(new Summing(to, done) {
            @Override
            void before(int first, int end, Stream stream) {
                Source source = sources.get(link);
                if (source == null) {
                    throw new IllegalStateException("link " + link + " is not open");
                }
                if (first == 0) {
                    driver.waitFor(stream, lastPass);
                }
                copyRuns(source, from, to, first, end, stream);
            }
        });
    }

    @Override
    public void sum(int[] own, SumListener done) {
        add(new Summing(own, done) {
            @Override
            void before(int first, int end, Stream stream) {}
        });
    }

    /** Neighbours that go to neighbours are one copy. */
    private void copyRuns(Source source, int[] from, int[] to, int first, int end, Stream stream) {
        for (int i = first; i < end; ) {
            int run = 1;
            while (i + run < end && from[i + run] == from[i] + run && to[i + run] == to[i] + run) {
                run++;
            }
            if (from[i] < 0 || from[i] + run > source.blocks()) {
                throw new IllegalStateException("the peer has no block " + (from[i] + run - 1));
            }
            long target = base + layout.blockBytes() * to[i];
            long origin = source.base() + layout.blockBytes() * from[i];
            long bytes = layout.blockBytes() * run;
            if (source.owner() == null) {
                driver.copyOnDevice(target, origin, bytes, stream);
            } else {
                driver.copyFromPeer(target, source.owner(), origin, bytes, stream);
            }
            i += run;
        }
    }

    /** Own blocks that are summed up, part by part. */
    private abstract class Summing implements Task {
        private final int[] own;
        private final SumListener done;

        Summing(int[] own, SumListener done) {
            this.own = own;
            this.done = done;
        }

        /** What comes before the sums of a part. */
        abstract void before(int first, int end, Stream stream);

        @Override
        public void run(Stream stream, Event over) {
            long[] sums = new long[own.length];
            try {
                for (int first = 0; first < own.length; first += MAX_TOGETHER) {
                    int end = Math.min(own.length, first + MAX_TOGETHER);
                    before(first, end, stream);
                    sumUp(first, end, sums, stream, over);
                }
            } catch (CudaException | IllegalStateException e) {
                done.over(sums, String.valueOf(e.getMessage()));
                return;
            }
            done.over(sums, "");
        }

        private void sumUp(int first, int end, long[] sums, Stream stream, Event over) {
            int count = end - first;
            MemorySegment.copy(own, first, host, ValueLayout.JAVA_INT, 8L * MAX_TOGETHER, count);
            long ids = scratch + 8L * MAX_TOGETHER;
            driver.copyToDevice(ids, host.address() + 8L * MAX_TOGETHER, 4L * count, stream);
            driver.fill(scratch, (byte) 0, 8L * count, stream);
            argument(0, scratch);
            argument(1, base);
            argument(2, ids);
            argument(3, layout.blockBytes());
            driver.launch(sumKernel, slices, count, 1, sumThreads, 0, stream, arguments.address(), false);
            driver.copyToHost(host.address(), scratch, 8L * count, stream);
            await(over, stream);
            MemorySegment.copy(host, ValueLayout.JAVA_LONG, 0, sums, first, count);
        }

        @Override
        public void fail(String failure) {
            done.over(new long[own.length], failure);
        }
    }

    private void argument(int index, long value) {
        arguments.setAtIndex(ValueLayout.JAVA_LONG, Kernels.MAX_PARAMETERS + index, value);
    }

    private void await(Event over, Stream stream) {
        driver.record(over, stream);
        while (!driver.isDone(over)) {
            if (closed) {
                throw new IllegalStateException("the KV memory is closed");
            }
            LockSupport.parkNanos(POLL_NANOS);
        }
    }

    private void add(Task task) {
        queue.add(task);
        if (closed) {
            failLeft();
        }
    }

    private void failLeft() {
        for (Task left = queue.poll(); left != null; left = queue.poll()) {
            left.fail("the KV memory is closed");
        }
    }

    private void run() {
        driver.makeCurrent();
        try (Stream stream = driver.createStream();
                Event over = driver.createEvent(false)) {
            while (!closed) {
                Task task = queue.poll(100, TimeUnit.MILLISECONDS);
                if (task != null) {
                    task.run(stream, over);
                }
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        failLeft();
    }

    /** Ends the thread. What it took of the device is freed unless the device is lost. */
    void end(boolean free) {
        closed = true;
        HERE.remove(pool);
        ThreadEnd.await(thread);
        if (free) {
            sources.values().forEach(this::release);
            driver.free(scratch);
            driver.freePinned(host);
            arena.close();
        }
        sources.clear();
    }

    @Override
    public void close() {
        end(true);
    }
}
