package io.tandem.compute.cuda;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;

/**
 * A device made of host memory and one thread: work is carried out later and in order, as on a real one, by {@link
 * HostKernels}. Counts what is open, and fails on demand.
 */
final class HostDriver implements CudaDriver {
    private static final MemorySegment ALL = MemorySegment.NULL.reinterpret(Long.MAX_VALUE);
    private static final int MAX_PARAMETERS = 24;
    private static final long TOTAL_BYTES = 256L << 20;

    private final Map<Long, Arena> memory = new HashMap<>();
    private final Map<Long, Long> sizes = new HashMap<>();
    private final ExecutorService device = Executors.newSingleThreadExecutor();
    private final AtomicReference<CudaException> sticky = new AtomicReference<>();
    private final AtomicLong open = new AtomicLong();
    private final AtomicLong launches = new AtomicLong();
    private volatile long failAtLaunch = Long.MAX_VALUE;
    private volatile boolean hangs;
    private volatile boolean leftOpen;
    private final AtomicInteger pinnedToRefuse = new AtomicInteger();
    private volatile boolean refusesGraphs;
    private final AtomicLong bytesToHost = new AtomicLong();
    private final AtomicLong shared = new AtomicLong();
    private List<Runnable> recording;

    /** Things that were made and not freed. */
    long open() {
        return open.get();
    }

    long launches() {
        return launches.get();
    }

    /** The n-th launch from now, and all work after it, fails. */
    void failAfter(long launchesFromNow) {
        failAtLaunch = launches.get() + launchesFromNow;
    }

    /** The next requests for pinned memory are refused. */
    void refusePinned(int requests) {
        pinnedToRefuse.set(requests);
    }

    /** No room for a graph, as when a device's memory is all given away. */
    void refuseGraphs() {
        refusesGraphs = true;
    }

    /** Copied to the host so far. */
    long bytesToHost() {
        return bytesToHost.get();
    }

    /** Work is accepted and never ends. */
    void hang() {
        hangs = true;
    }

    @Override
    public DeviceFacts facts() {
        return new DeviceFacts(0, "host memory", 80, 2, TOTAL_BYTES, 1 << 20, 12_060);
    }

    @Override
    public void makeCurrent() {}

    @Override
    public synchronized long freeBytes() {
        return TOTAL_BYTES - sizes.values().stream().mapToLong(Long::longValue).sum();
    }

    @Override
    public synchronized long allocate(long bytes) {
        if (bytes > freeBytes()) {
            throw new CudaException("cuMemAlloc", CudaException.OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY");
        }
        MemorySegment made = take(bytes);
        made.fill((byte) 0xff);
        sizes.put(made.address(), bytes);
        return made.address();
    }

    private synchronized MemorySegment take(long bytes) {
        Arena arena = Arena.ofShared();
        MemorySegment made = arena.allocate(bytes, 256);
        memory.put(made.address(), arena);
        open.incrementAndGet();
        return made;
    }

    @Override
    public synchronized void free(long address) {
        sizes.remove(address);
        memory.remove(address).close();
        open.decrementAndGet();
    }

    @Override
    public MemorySegment allocatePinned(long bytes) {
        if (pinnedToRefuse.getAndUpdate(n -> Math.max(0, n - 1)) > 0) {
            throw new CudaException("cuMemHostAlloc", CudaException.OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY");
        }
        return MemorySegment.ofAddress(take(Math.max(bytes, 1)).address()).reinterpret(bytes);
    }

    @Override
    public void freePinned(MemorySegment segment) {
        free(segment.address());
    }

    @Override
    public Stream createStream() {
        open.incrementAndGet();
        return open::decrementAndGet;
    }

    @Override
    public Stream createUrgentStream() {
        return createStream();
    }

    @Override
    public Event createEvent(boolean timed) {
        open.incrementAndGet();
        return new Mark();
    }

    private final class Mark implements Event {
        volatile Future<?> reached;

        @Override
        public void close() {
            open.decrementAndGet();
        }
    }

    @Override
    public void record(Event event, Stream stream) {
        ((Mark) event).reached = device.submit(() -> {});
    }

    @Override
    public boolean isDone(Event event) {
        Future<?> reached = ((Mark) event).reached;
        if (sticky.get() != null) {
            throw sticky.get();
        }
        return reached == null || reached.isDone() && !hangs;
    }

    @Override
    public void waitFor(Stream stream, Event event) {}

    @Override
    public float elapsedMillis(Event from, Event to) {
        return 0;
    }

    @Override
    public void synchronize(Stream stream) {
        if (hangs) {
            throw new AssertionError("this call would never return");
        }
        try {
            device.submit(() -> {}).get();
        } catch (Exception e) {
            throw new IllegalStateException(e);
        }
        if (sticky.get() != null) {
            throw sticky.get();
        }
    }

    @Override
    public void copyToDevice(long to, long host, long bytes, Stream stream) {
        enqueue(() -> MemorySegment.copy(ALL, host, ALL, to, bytes));
    }

    @Override
    public void copyToHost(long host, long from, long bytes, Stream stream) {
        bytesToHost.addAndGet(bytes);
        enqueue(() -> MemorySegment.copy(ALL, from, ALL, host, bytes));
    }

    @Override
    public void copyOnDevice(long to, long from, long bytes, Stream stream) {
        enqueue(() -> MemorySegment.copy(ALL, from, ALL, to, bytes));
    }

    @Override
    public void copyRowsToDevice(long to, long stride, long host, long rowBytes, int rows, Stream stream) {
        enqueue(() -> {
            for (int r = 0; r < rows; r++) {
                MemorySegment.copy(ALL, host + r * rowBytes, ALL, to + r * stride, rowBytes);
            }
        });
    }

    @Override
    public void fill(long at, byte value, long bytes, Stream stream) {
        enqueue(() -> ALL.asSlice(at, bytes).fill(value));
    }

    private void enqueue(Runnable work) {
        if (recording != null) {
            throw new IllegalStateException("copies are not recorded");
        }
        device.execute(() -> run(work));
    }

    private void run(Runnable work) {
        if (sticky.get() == null) {
            try {
                work.run();
            } catch (RuntimeException | Error e) {
                e.printStackTrace();
                sticky.set(new CudaException("emulated kernel: " + e, 700, "CUDA_ERROR_ILLEGAL_ADDRESS"));
            }
        }
    }

    @Override
    public Kernel[] load(byte[] ptx, String[] names, int[] dynamicSharedBytes) {
        Kernel[] kernels = new Kernel[names.length];
        for (int i = 0; i < names.length; i++) {
            String name = names[i];
            kernels[i] = () -> name;
        }
        return kernels;
    }

    @Override
    public void launch(
            Kernel kernel,
            int gridX,
            int gridY,
            int gridZ,
            int threads,
            int sharedBytes,
            Stream stream,
            long parameters,
            boolean overlaps) {
        if (gridX < 1 || gridY < 1 || gridZ < 1) {
            throw new CudaException("launch of " + kernel.name(), 1, "CUDA_ERROR_INVALID_VALUE");
        }
        long[] values = new long[MAX_PARAMETERS];
        for (int i = 0; i < MAX_PARAMETERS; i++) {
            values[i] = ALL.get(ValueLayout.JAVA_LONG, ALL.get(ValueLayout.JAVA_LONG, parameters + 8L * i));
        }
        Runnable work = () -> {
            if (launches.incrementAndGet() >= failAtLaunch) {
                sticky.set(new CudaException(kernel.name(), 700, "CUDA_ERROR_ILLEGAL_ADDRESS"));
                return;
            }
            HostKernels.run(kernel.name(), values, gridX, gridY, gridZ);
        };
        if (recording != null) {
            recording.add(work);
        } else {
            device.execute(() -> run(work));
        }
    }

    @Override
    public void describeMatrix(MemorySegment map, long matrix, long[] sizes, long[] strides, int[] box) {
        throw new UnsupportedOperationException("host memory has no copy engine");
    }

    @Override
    public void beginCapture(Stream stream) {
        recording = new ArrayList<>();
    }

    @Override
    public Graph endCapture(Stream stream) {
        if (refusesGraphs) {
            throw new CudaException("cuGraphInstantiate", CudaException.OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY");
        }
        open.incrementAndGet();
        Recording made = new Recording(recording);
        recording = null;
        return made;
    }

    private final class Recording implements Graph {
        private final List<Runnable> works;

        Recording(List<Runnable> works) {
            this.works = works;
        }

        @Override
        public void close() {
            open.decrementAndGet();
        }
    }

    @Override
    public void launch(Graph graph, Stream stream) {
        device.execute(() -> ((Recording) graph).works.forEach(this::run));
    }

    @Override
    public byte[] uuid() {
        return new byte[PeerCalls.UUID_BYTES];
    }

    /** The address: any process that is this one can read there. */
    @Override
    public byte[] share(long address) {
        return ByteBuffer.allocate(PeerCalls.HANDLE_BYTES).putLong(address).array();
    }

    @Override
    public long openShared(byte[] handle) {
        shared.incrementAndGet();
        return ByteBuffer.wrap(handle).getLong();
    }

    @Override
    public void closeShared(long address) {
        shared.decrementAndGet();
    }

    /** Allocations of others that are open here. */
    long shared() {
        return shared.get();
    }

    @Override
    public String peerRefusal(byte[] uuid) {
        return uuid[0] == 0 ? "" : "the peer's device is not visible to this process";
    }

    @Override
    public void enablePeer(CudaDriver peer) {}

    @Override
    public void copyFromPeer(long to, CudaDriver peer, long from, long bytes, Stream stream) {
        copyOnDevice(to, from, bytes, stream);
    }

    @Override
    public void leaveOpen() {
        leftOpen = true;
    }

    @Override
    public long handle(Stream stream) {
        return 0;
    }

    @Override
    public void close() {
        if (leftOpen) {
            return;
        }
        device.shutdown();
    }
}
