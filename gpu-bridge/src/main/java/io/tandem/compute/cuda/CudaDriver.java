package io.tandem.compute.cuda;

import java.lang.foreign.MemorySegment;

/**
 * What this package needs of one opened device. Addresses are plain numbers; calls that a step makes create no object. Each
 * thread calls {@link #makeCurrent()} before its first other call. Everything but {@link #isDone} throws {@link
 * CudaException} when the driver says no.
 */
interface CudaDriver extends AutoCloseable {

    /** A queue of work on the device, carried out in order. */
    interface Stream extends AutoCloseable {
        @Override
        void close();
    }

    /** A mark in a stream. */
    interface Event extends AutoCloseable {
        @Override
        void close();
    }

    /** A loaded kernel. */
    interface Kernel {
        String name();
    }

    /** A recorded sequence of launches. */
    interface Graph extends AutoCloseable {
        @Override
        void close();
    }

    DeviceFacts facts();

    /** Binds the device to the calling thread. */
    void makeCurrent();

    /** Device memory that nobody uses now, other processes included. */
    long freeBytes();

    long allocate(long bytes);

    void free(long address);

    /** Host memory that the device can copy from and to by itself. Zeroed. */
    MemorySegment allocatePinned(long bytes);

    void freePinned(MemorySegment memory);

    Stream createStream();

    /** A stream whose kernels go before those of other streams that wait for a place on the device. */
    Stream createUrgentStream();

    /** @param timed whether {@link #elapsedMillis} is wanted */
    Event createEvent(boolean timed);

    void record(Event event, Stream stream);

    /** True when all work before the mark is over. Throws when that work failed. */
    boolean isDone(Event event);

    /** Lets later work of the stream wait for the mark. */
    void waitFor(Stream stream, Event event);

    float elapsedMillis(Event from, Event to);

    /** Waits on the host for all work of the stream. */
    void synchronize(Stream stream);

    void copyToDevice(long device, long host, long bytes, Stream stream);

    void copyToHost(long host, long device, long bytes, Stream stream);

    void copyOnDevice(long to, long from, long bytes, Stream stream);

    /** Copies rows that lie packed on the host to rows with a stride on the device. */
    void copyRowsToDevice(long device, long deviceStride, long host, long rowBytes, int rows, Stream stream);

    void fill(long device, byte value, long bytes, Stream stream);

    /**
     * Loads the kernels of a PTX text, in the order of their names.
     *
     * @param dynamicSharedBytes shared memory each may ask for at a launch
     */
    Kernel[] load(byte[] ptx, String[] names, int[] dynamicSharedBytes);

    /**
     * @param parameters address of an array with the address of each parameter
     * @param overlaps whether the kernel may start before the one ahead of it in the stream has ended
     */
    void launch(
            Kernel kernel,
            int gridX,
            int gridY,
            int gridZ,
            int threads,
            int sharedBytes,
            Stream stream,
            long parameters,
            boolean overlaps);

    /**
     * Describes a matrix of bf16 to the copy engine (capability 9.0).
     *
     * @param map takes the description, {@link CopyMaps#BYTES} bytes
     * @param sizes elements, the innermost dimension first
     * @param strides bytes from one to the next, of all dimensions but the innermost
     * @param box elements copied at a time
     */
    void describeMatrix(MemorySegment map, long matrix, long[] sizes, long[] strides, int[] box);

    /** Launches into the stream are recorded instead of run, until {@link #endCapture}. */
    void beginCapture(Stream stream);

    Graph endCapture(Stream stream);

    void launch(Graph graph, Stream stream);

    /** Sixteen bytes that are the same in every process of the host. */
    byte[] uuid();

    /** What another process needs to open an allocation of this one, {@link PeerCalls#HANDLE_BYTES} bytes. */
    byte[] share(long address);

    /** Opens an allocation of another process. */
    long openShared(byte[] handle);

    void closeShared(long address);

    /** Why this device cannot read the memory of another one, by its {@link #uuid}; empty when it can. */
    String peerRefusal(byte[] uuid);

    /** Lets this device read what another driver of this process allocates, without the host between, where it can. */
    void enablePeer(CudaDriver peer);

    /** Copies from what another driver of this process allocated, on whatever device. */
    void copyFromPeer(long to, CudaDriver peer, long from, long bytes, Stream stream);

    /** Has {@link #close} leave everything as it is, for memory that another process has open. */
    void leaveOpen();

    /** The driver's own handle of a stream, for libraries that take one. */
    long handle(Stream stream);

    @Override
    void close();
}
