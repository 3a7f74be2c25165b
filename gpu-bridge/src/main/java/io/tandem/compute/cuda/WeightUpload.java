package io.tandem.compute.cuda;

import io.tandem.compute.cuda.CudaDriver.Event;
import io.tandem.compute.cuda.CudaDriver.Stream;
import io.tandem.weights.RowReader;
import io.tandem.weights.Tensor;
import io.tandem.weights.TensorType;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.LockSupport;

/**
 * Brings tensors from the mapped file to the device as bf16. Each thread takes slices of rows, converts one into a pinned
 * buffer while the device copies from the other, so that disk, cores and bus work at once.
 */
final class WeightUpload {
    private static final long SLICE_BYTES = 8L << 20;
    private static final int MAX_THREADS = 16;

    /** Order in which rows are stored on the device. */
    enum RowOrder {
        AS_STORED,
        /** From neighbouring rotary pairs to halves of a head. */
        PAIRS_TO_HALVES
    }

    private record Slice(Tensor tensor, int firstRow, int rows, long target, RowOrder order, int headDim) {}

    private final CudaDriver driver;
    private final List<Slice> slices = new ArrayList<>();
    private final AtomicInteger next = new AtomicInteger();
    private final AtomicReference<Throwable> failure = new AtomicReference<>();

    WeightUpload(CudaDriver driver) {
        this.driver = driver;
    }

    /** Bytes of a tensor on the device. */
    static long bytes(Tensor tensor) {
        return 2L * tensor.rows() * tensor.cols();
    }

    /** Plans a tensor. */
    void add(Tensor tensor, long target, RowOrder order, int headDim) {
        int rowsASlice = (int) Math.max(1, SLICE_BYTES / (2L * tensor.cols()));
        for (int row = 0; row < tensor.rows(); row += rowsASlice) {
            int rows = Math.min(rowsASlice, tensor.rows() - row);
            slices.add(new Slice(tensor, row, rows, target + 2L * row * tensor.cols(), order, headDim));
        }
    }

    /** Carries the plan out; returns when all of it is on the device. */
    void run(int threads) {
        long largest = slices.stream()
                .mapToLong(s -> 2L * s.rows() * s.tensor().cols())
                .max()
                .orElse(0);
        List<Thread> workers = new ArrayList<>();
        for (int i = 0; i < Math.clamp(threads, 1, MAX_THREADS); i++) {
            workers.add(Thread.ofPlatform().name("weights-" + i).start(() -> work(largest)));
        }
        for (Thread worker : workers) {
            ThreadEnd.await(worker);
        }
        if (failure.get() != null) {
            throw new IllegalStateException(
                    "the weights cannot be brought to the device: " + failure.get(), failure.get());
        }
    }

    /** Whatever ends a thread before the plan is done must end the whole: what it took would be missing on the device. */
    private void work(long bufferBytes) {
        try {
            driver.makeCurrent();
            copySlices(bufferBytes);
        } catch (RuntimeException | Error e) {
            failure.compareAndSet(null, e);
        }
    }

    private void copySlices(long bufferBytes) {
        try (Buffer even = new Buffer(bufferBytes);
                Buffer odd = new Buffer(bufferBytes);
                Stream stream = driver.createStream()) {
            Buffer buffer = even;
            for (int i = next.getAndIncrement();
                    i < slices.size() && failure.get() == null;
                    i = next.getAndIncrement()) {
                Slice slice = slices.get(i);
                buffer.await();
                convert(slice, buffer.memory);
                long bytes = 2L * slice.rows() * slice.tensor().cols();
                driver.copyToDevice(slice.target(), buffer.memory.address(), bytes, stream);
                driver.record(buffer.copied, stream);
                buffer = buffer == even ? odd : even;
            }
            driver.synchronize(stream);
        }
    }

    /** Pinned memory, and the mark behind the copy from it. */
    private final class Buffer implements AutoCloseable {
        final Event copied = driver.createEvent(false);
        final MemorySegment memory;

        Buffer(long bytes) {
            try {
                memory = driver.allocatePinned(bytes);
            } catch (RuntimeException e) {
                copied.close();
                throw e;
            }
        }

        void await() {
            while (!driver.isDone(copied)) {
                LockSupport.parkNanos(20_000);
            }
        }

        @Override
        public void close() {
            copied.close();
            driver.freePinned(memory);
        }
    }

    private static void convert(Slice s, MemorySegment to) {
        Tensor t = s.tensor();
        long rowBytes = 2L * t.cols();
        if (t.type() == TensorType.BF16 && s.order() == RowOrder.AS_STORED) {
            MemorySegment.copy(t.data(), s.firstRow() * rowBytes, to, 0, s.rows() * rowBytes);
            return;
        }
        float[] row = new float[t.cols()];
        for (int r = 0; r < s.rows(); r++) {
            RowReader.read(t, storedRow(s, s.firstRow() + r), row, 0);
            for (int i = 0; i < row.length; i++) {
                to.set(ValueLayout.JAVA_SHORT, r * rowBytes + 2L * i, bfloat16(row[i]));
            }
        }
    }

    /** The row of the file that a row of the device comes from. */
    private static int storedRow(Slice s, int row) {
        if (s.order() == RowOrder.AS_STORED) {
            return row;
        }
        int half = s.headDim() / 2;
        int inHead = row % s.headDim();
        return row - inHead + (inHead < half ? 2 * inHead : 2 * (inHead - half) + 1);
    }

    /** The nearest bfloat16, even on a tie. */
    static short bfloat16(float value) {
        int bits = Float.floatToRawIntBits(value);
        if (Float.isNaN(value)) {
            return (short) (bits >>> 16 | 0x40);
        }
        return (short) (bits + 0x7fff + (bits >>> 16 & 1) >>> 16);
    }
}
