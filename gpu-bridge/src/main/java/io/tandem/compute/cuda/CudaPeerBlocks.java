package io.tandem.compute.cuda;

import io.tandem.compute.cuda.CudaDriver.Event;
import io.tandem.compute.cuda.CudaDriver.Kernel;
import io.tandem.compute.cuda.CudaDriver.Stream;
import io.tandem.compute.cuda.SideStream.Worker;
import io.tandem.kvcache.KvLayout;
import io.tandem.kvcache.PeerBlocks;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ThreadLocalRandom;
import java.util.function.Consumer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * KV blocks of other workers on this host, by CUDA's memory handles between processes and by peer copies within one.
 * Beside the passes.
 */
final class CudaPeerBlocks implements PeerBlocks, AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(CudaPeerBlocks.class);
    private static final int MAX_TOGETHER = 512;
    private static final int[] NONE = {};

    /** The pools of this process: CUDA opens no handle in the process that made it. */
    private static final Map<Long, CudaPeerBlocks> HERE = new ConcurrentHashMap<>();

    /** Another worker's pool. */
    private record Source(long base, int blocks, CudaDriver owner) {}

    /** Something to be done on the stream's thread. */
    private sealed interface Task {
        void fail(String failure);
    }

    /** Another worker's pool opens or closes. */
    private record LinkChange(Runnable action, Consumer<String> failed) implements Task {
        @Override
        public void fail(String failure) {
            failed.accept(failure);
        }
    }

    /**
     * Own blocks to be summed up, after others were copied to them or not.
     *
     * @param from the other worker's blocks; empty = none
     * @param afterPass whether a pass that may still run writes to a target
     */
    private record Summing(long link, int[] from, int[] own, boolean afterPass, SumListener done) implements Task {
        @Override
        public void fail(String failure) {
            done.over(new long[own.length], failure);
        }
    }

    private final CudaDriver driver;
    private final KvLayout layout;
    private final long base;
    private final Event lastPass;
    private final BlockWrites writes;
    private final Kernel sumKernel;
    private final int sumThreads;
    private final int slices;
    private final long pool = ThreadLocalRandom.current().nextLong();
    private final byte[] ticket;
    private final Map<Long, Source> sources = new HashMap<>();
    private final Arena arena = Arena.ofShared();
    private final MemorySegment arguments;
    private final long scratch;
    private final MemorySegment host;
    private final SideStream<Task> side;

    /**
     * @param base where this worker's blocks begin
     * @param lastPass the mark behind the latest pass
     * @param writes says which blocks a pass may still write to although they were given to another sequence
     * @throws CudaException when the device does not share memory
     */
    CudaPeerBlocks(
            CudaDriver driver,
            KvLayout layout,
            int blocks,
            long base,
            Event lastPass,
            BlockWrites writes,
            Kernels kernels) {
        this.driver = driver;
        this.layout = layout;
        this.base = base;
        this.lastPass = lastPass;
        this.writes = writes;
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
        side = new SideStream<>("kv-peers", driver, driver::createUrgentStream, MAX_TOGETHER, new Worker<>() {
            @Override
            public void run(List<Task> tasks, SideStream<Task>.Lane lane) {
                inRounds(tasks, lane);
            }

            @Override
            public void refuse(Task task, IllegalStateException reason) {
                task.fail(reason.getMessage());
            }
        });
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
        Runnable open = () -> {
            try {
                sources.put(link, source(PoolTicket.of(theirs)));
            } catch (CudaException | IllegalArgumentException | IllegalStateException e) {
                done.accept(e.getMessage());
                return;
            }
            done.accept("");
        };
        side.add(new LinkChange(open, done));
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
        Runnable close = () -> {
            release(sources.remove(link));
            done.run();
        };
        side.add(new LinkChange(close, failure -> done.run()));
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
        side.add(new Summing(link, from.clone(), to.clone(), writes.pending(to), done));
    }

    @Override
    public void sum(int[] own, SumListener done) {
        side.add(new Summing(0, NONE, own.clone(), false, done));
    }

    /** In order, sums that fit in a round together: it waits once for the device, however many blocks there are. */
    private void inRounds(List<Task> tasks, SideStream<Task>.Lane lane) {
        List<Summing> round = new ArrayList<>();
        int blocks = 0;
        for (Task task : tasks) {
            int more = task instanceof Summing s ? s.own().length : 0;
            if (task instanceof LinkChange || blocks + more > MAX_TOGETHER) {
                run(round, lane);
                round.clear();
                blocks = 0;
            }
            switch (task) {
                case LinkChange change -> lane.answer(change.action());
                case Summing s -> round.add(s);
            }
            blocks += more;
        }
        run(round, lane);
    }

    private void run(List<Summing> round, SideStream<Task>.Lane lane) {
        List<Summing> copied = new ArrayList<>();
        for (Summing s : round) {
            try {
                copy(s, lane.stream());
                copied.add(s);
            } catch (CudaException | IllegalStateException e) {
                lane.answer(() -> s.fail(String.valueOf(e.getMessage())));
            }
        }
        int[] own = copied.stream().flatMapToInt(s -> Arrays.stream(s.own())).toArray();
        long[] sums = new long[own.length];
        try {
            for (int first = 0; first < own.length; first += MAX_TOGETHER) {
                sumUp(own, first, Math.min(own.length, first + MAX_TOGETHER), sums, lane);
            }
        } catch (CudaException | IllegalStateException e) {
            copied.forEach(s -> lane.answer(() -> s.fail(String.valueOf(e.getMessage()))));
            return;
        }
        int at = 0;
        for (Summing s : copied) {
            long[] part = Arrays.copyOfRange(sums, at, at + s.own().length);
            lane.answer(() -> s.done().over(part, ""));
            at += part.length;
        }
    }

    /** Enqueues all of a task's copies, or none. */
    private void copy(Summing s, Stream stream) {
        if (s.from().length == 0) {
            return;
        }
        Source source = sources.get(s.link());
        if (source == null) {
            throw new IllegalStateException("link " + s.link() + " is not open");
        }
        for (int block : s.from()) {
            if (block < 0 || block >= source.blocks()) {
                throw new IllegalStateException("the peer has no block " + block);
            }
        }
        if (s.afterPass()) {
            driver.waitFor(stream, lastPass);
        }
        copyRuns(source, s.from(), s.own(), stream);
    }

    /** Neighbours that go to neighbours are one copy. */
    private void copyRuns(Source source, int[] from, int[] to, Stream stream) {
        int run;
        for (int i = 0; i < to.length; i += run) {
            run = 1;
            while (i + run < to.length && from[i + run] == from[i] + run && to[i + run] == to[i] + run) {
                run++;
            }
            long target = base + layout.blockBytes() * to[i];
            long origin = source.base() + layout.blockBytes() * from[i];
            long bytes = layout.blockBytes() * run;
            if (source.owner() == null) {
                driver.copyOnDevice(target, origin, bytes, stream);
            } else {
                driver.copyFromPeer(target, source.owner(), origin, bytes, stream);
            }
        }
    }

    private void sumUp(int[] own, int first, int end, long[] sums, SideStream<Task>.Lane lane) {
        Stream stream = lane.stream();
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
        lane.finish();
        MemorySegment.copy(host, ValueLayout.JAVA_LONG, 0, sums, first, count);
    }

    private void argument(int index, long value) {
        arguments.setAtIndex(ValueLayout.JAVA_LONG, Kernels.MAX_PARAMETERS + index, value);
    }

    /** Ends the thread. What it took of the device is freed unless the device is lost. */
    void end(boolean free) {
        HERE.remove(pool);
        side.close();
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
