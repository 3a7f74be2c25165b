package io.tandem.compute.cuda;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import jcuda.Pointer;
import jcuda.driver.CUcontext;
import jcuda.driver.CUctx_flags;
import jcuda.driver.CUdevice;
import jcuda.driver.CUdevice_attribute;
import jcuda.driver.CUdeviceptr;
import jcuda.driver.CUevent;
import jcuda.driver.CUevent_flags;
import jcuda.driver.CUfunction;
import jcuda.driver.CUfunction_attribute;
import jcuda.driver.CUgraph;
import jcuda.driver.CUgraphExec;
import jcuda.driver.CUmodule;
import jcuda.driver.CUresult;
import jcuda.driver.CUstream;
import jcuda.driver.CUstream_flags;
import jcuda.driver.JCudaDriver;

/** The NVIDIA driver through JCuda, with a context of its own on one device. */
final class NativeDriver implements CudaDriver {
    private static final int PORTABLE = 1;
    private static final int CAPTURE_THREAD_LOCAL = 1;

    private final DeviceFacts facts;
    private final ContextHandle context = new ContextHandle();
    private final CUmodule module = new CUmodule();
    private final Arena arena = Arena.ofShared();
    private final ThreadLocal<DriverCalls> calls = ThreadLocal.withInitial(() -> new DriverCalls(arena));
    private boolean loaded;
    private volatile boolean leftOpen;

    private NativeDriver(DeviceFacts facts, CUdevice device) {
        this.facts = facts;
        check("cuCtxCreate", JCudaDriver.cuCtxCreate(context, CUctx_flags.CU_CTX_SCHED_AUTO, device));
    }

    /** Devices of this host. */
    static int deviceCount() {
        JCudaDriver.setExceptionsEnabled(false);
        check("cuInit", JCudaDriver.cuInit(0));
        int[] count = new int[1];
        check("cuDeviceGetCount", JCudaDriver.cuDeviceGetCount(count));
        return count[0];
    }

    static DeviceFacts facts(int ordinal) {
        CUdevice device = device(ordinal);
        byte[] name = new byte[256];
        check("cuDeviceGetName", JCudaDriver.cuDeviceGetName(name, name.length, device));
        long[] bytes = new long[1];
        check("cuDeviceTotalMem", JCudaDriver.cuDeviceTotalMem(bytes, device));
        int[] version = new int[1];
        check("cuDriverGetVersion", JCudaDriver.cuDriverGetVersion(version));
        return new DeviceFacts(
                ordinal,
                new String(name, StandardCharsets.US_ASCII).trim(),
                10 * attribute(device, CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)
                        + attribute(device, CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR),
                attribute(device, CUdevice_attribute.CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT),
                bytes[0],
                attribute(device, CUdevice_attribute.CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN),
                version[0]);
    }

    static NativeDriver open(int ordinal) {
        return new NativeDriver(facts(ordinal), device(ordinal));
    }

    private static CUdevice device(int ordinal) {
        CUdevice device = new CUdevice();
        check("cuDeviceGet", JCudaDriver.cuDeviceGet(device, ordinal));
        return device;
    }

    private static int attribute(CUdevice device, int attribute) {
        int[] value = new int[1];
        check("cuDeviceGetAttribute", JCudaDriver.cuDeviceGetAttribute(value, attribute, device));
        return value[0];
    }

    private static void check(String call, int result) {
        if (result != CUresult.CUDA_SUCCESS) {
            throw new CudaException(call, result, CUresult.stringFor(result));
        }
    }

    @Override
    public DeviceFacts facts() {
        return facts;
    }

    @Override
    public void makeCurrent() {
        check("cuCtxSetCurrent", JCudaDriver.cuCtxSetCurrent(context));
    }

    @Override
    public long freeBytes() {
        long[] free = new long[1];
        check("cuMemGetInfo", JCudaDriver.cuMemGetInfo(free, new long[1]));
        return free[0];
    }

    @Override
    public long allocate(long bytes) {
        DevicePointer pointer = new DevicePointer();
        check("cuMemAlloc of " + bytes + " bytes", JCudaDriver.cuMemAlloc(pointer, bytes));
        return pointer.address();
    }

    @Override
    public void free(long address) {
        check("cuMemFree", DriverCalls.free(address));
    }

    @Override
    public MemorySegment allocatePinned(long bytes) {
        HostPointer pointer = new HostPointer();
        check("cuMemHostAlloc of " + bytes + " bytes", JCudaDriver.cuMemHostAlloc(pointer, bytes, PORTABLE));
        MemorySegment memory = MemorySegment.ofAddress(pointer.address()).reinterpret(bytes);
        memory.fill((byte) 0);
        return memory;
    }

    @Override
    public void freePinned(MemorySegment memory) {
        check("cuMemFreeHost", JCudaDriver.cuMemFreeHost(new HostPointer(memory.address())));
    }

    @Override
    public Stream createStream() {
        StreamHandle stream = new StreamHandle();
        check("cuStreamCreate", JCudaDriver.cuStreamCreate(stream, CUstream_flags.CU_STREAM_NON_BLOCKING));
        return stream;
    }

    @Override
    public Stream createUrgentStream() {
        int[] least = new int[1];
        int[] greatest = new int[1];
        check("cuCtxGetStreamPriorityRange", JCudaDriver.cuCtxGetStreamPriorityRange(least, greatest));
        StreamHandle stream = new StreamHandle();
        check(
                "cuStreamCreateWithPriority",
                JCudaDriver.cuStreamCreateWithPriority(stream, CUstream_flags.CU_STREAM_NON_BLOCKING, greatest[0]));
        return stream;
    }

    @Override
    public Event createEvent(boolean timed) {
        EventHandle event = new EventHandle();
        check(
                "cuEventCreate",
                JCudaDriver.cuEventCreate(
                        event, timed ? CUevent_flags.CU_EVENT_DEFAULT : CUevent_flags.CU_EVENT_DISABLE_TIMING));
        return event;
    }

    @Override
    public void record(Event event, Stream stream) {
        check("cuEventRecord", JCudaDriver.cuEventRecord((EventHandle) event, (StreamHandle) stream));
    }

    @Override
    public boolean isDone(Event event) {
        int result = JCudaDriver.cuEventQuery((EventHandle) event);
        if (result == CUresult.CUDA_ERROR_NOT_READY) {
            return false;
        }
        check("work on the device", result);
        return true;
    }

    @Override
    public void waitFor(Stream stream, Event event) {
        check("cuStreamWaitEvent", JCudaDriver.cuStreamWaitEvent((StreamHandle) stream, (EventHandle) event, 0));
    }

    @Override
    public float elapsedMillis(Event from, Event to) {
        float[] millis = new float[1];
        check("cuEventElapsedTime", JCudaDriver.cuEventElapsedTime(millis, (EventHandle) from, (EventHandle) to));
        return millis[0];
    }

    @Override
    public void synchronize(Stream stream) {
        check("cuStreamSynchronize", JCudaDriver.cuStreamSynchronize((StreamHandle) stream));
    }

    @Override
    public void copyToDevice(long device, long host, long bytes, Stream stream) {
        check("cuMemcpyHtoDAsync", DriverCalls.copyToDevice(device, host, bytes, handle(stream)));
    }

    @Override
    public void copyToHost(long host, long device, long bytes, Stream stream) {
        check("cuMemcpyDtoHAsync", DriverCalls.copyToHost(host, device, bytes, handle(stream)));
    }

    @Override
    public void copyOnDevice(long to, long from, long bytes, Stream stream) {
        check("cuMemcpyDtoDAsync", DriverCalls.copyOnDevice(to, from, bytes, handle(stream)));
    }

    @Override
    public void copyRowsToDevice(long device, long deviceStride, long host, long rowBytes, int rows, Stream stream) {
        check(
                "cuMemcpy2DAsync",
                calls.get().copyRowsToDevice(device, deviceStride, host, rowBytes, rows, handle(stream)));
    }

    @Override
    public void fill(long device, byte value, long bytes, Stream stream) {
        check("cuMemsetD8Async", DriverCalls.fill(device, value, bytes, handle(stream)));
    }

    @Override
    public Kernel[] load(byte[] ptx, String[] names, int[] dynamicSharedBytes) {
        byte[] text = Arrays.copyOf(ptx, ptx.length + 1);
        check("cuModuleLoadData (the driver's translation of our PTX)", JCudaDriver.cuModuleLoadData(module, text));
        loaded = true;
        Kernel[] kernels = new Kernel[names.length];
        for (int i = 0; i < names.length; i++) {
            FunctionHandle function = new FunctionHandle(names[i]);
            check("cuModuleGetFunction " + names[i], JCudaDriver.cuModuleGetFunction(function, module, names[i]));
            check(
                    "shared memory of " + names[i],
                    JCudaDriver.cuFuncSetAttribute(
                            function,
                            CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                            dynamicSharedBytes[i]));
            // An SM divides its memory between shared memory and L1 while it is idle: with all of it shared, a kernel
            // that
            // starts early finds room beside the one that runs.
            check(
                    "shared memory of " + names[i],
                    JCudaDriver.cuFuncSetAttribute(
                            function, CUfunction_attribute.CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT, 100));
            kernels[i] = function;
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
        int result = calls.get()
                .launch(
                        ((FunctionHandle) kernel).address(),
                        gridX,
                        gridY,
                        gridZ,
                        threads,
                        sharedBytes,
                        handle(stream),
                        parameters,
                        overlaps);
        if (result != CUresult.CUDA_SUCCESS) {
            check("launch of " + kernel.name(), result);
        }
    }

    @Override
    public void describeMatrix(MemorySegment map, long matrix, long[] sizes, long[] strides, int[] box) {
        check("cuTensorMapEncodeTiled", DriverCalls.describeMatrix(map, matrix, sizes, strides, box));
    }

    @Override
    public void beginCapture(Stream stream) {
        check("cuStreamBeginCapture", JCudaDriver.cuStreamBeginCapture((StreamHandle) stream, CAPTURE_THREAD_LOCAL));
    }

    @Override
    public Graph endCapture(Stream stream) {
        CUgraph graph = new CUgraph();
        check("cuStreamEndCapture", JCudaDriver.cuStreamEndCapture((StreamHandle) stream, graph));
        GraphHandle executable = new GraphHandle();
        check("cuGraphInstantiate", JCudaDriver.cuGraphInstantiate(executable, graph, 0));
        check("cuGraphDestroy", JCudaDriver.cuGraphDestroy(graph));
        return executable;
    }

    @Override
    public void launch(Graph graph, Stream stream) {
        check("cuGraphLaunch", JCudaDriver.cuGraphLaunch((GraphHandle) graph, (StreamHandle) stream));
    }

    @Override
    public byte[] uuid() {
        return PeerCalls.uuid(facts.ordinal());
    }

    @Override
    public byte[] share(long address) {
        return PeerCalls.share(address);
    }

    @Override
    public long openShared(byte[] handle) {
        return PeerCalls.open(handle);
    }

    @Override
    public void closeShared(long address) {
        PeerCalls.close(address);
    }

    @Override
    public String peerRefusal(byte[] uuid) {
        int devices = deviceCount();
        for (int other = 0; other < devices; other++) {
            if (Arrays.equals(uuid, PeerCalls.uuid(other))) {
                return other == facts.ordinal() || PeerCalls.canAccess(facts.ordinal(), other)
                        ? ""
                        : "device " + facts.ordinal() + " has no access to the memory of device " + other;
            }
        }
        return "the peer's device is not visible to this process";
    }

    @Override
    public void enablePeer(CudaDriver peer) {
        if (peer.facts().ordinal() != facts.ordinal()) {
            PeerCalls.enable(((NativeDriver) peer).context.address());
        }
    }

    @Override
    public void copyFromPeer(long to, CudaDriver peer, long from, long bytes, Stream stream) {
        long theirs = ((NativeDriver) peer).context.address();
        PeerCalls.copy(to, context.address(), from, theirs, bytes, handle(stream));
    }

    @Override
    public void leaveOpen() {
        leftOpen = true;
    }

    @Override
    public long handle(Stream stream) {
        return ((StreamHandle) stream).address();
    }

    /** Frees the context and with it whatever on the device belongs to it still. */
    @Override
    public void close() {
        if (leftOpen) {
            return;
        }
        makeCurrentIfAlive();
        if (loaded) {
            JCudaDriver.cuModuleUnload(module);
        }
        JCudaDriver.cuCtxDestroy(context);
        arena.close();
    }

    private void makeCurrentIfAlive() {
        JCudaDriver.cuCtxSetCurrent(context);
    }

    private static final class ContextHandle extends CUcontext {
        long address() {
            return getNativePointer();
        }
    }

    private static final class DevicePointer extends CUdeviceptr {
        long address() {
            return getNativePointer();
        }
    }

    private static final class HostPointer extends Pointer {
        HostPointer() {}

        HostPointer(long address) {
            super(address);
        }

        long address() {
            return getNativePointer();
        }
    }

    private static final class StreamHandle extends CUstream implements Stream {
        long address() {
            return getNativePointer();
        }

        @Override
        public void close() {
            JCudaDriver.cuStreamDestroy(this);
        }
    }

    private static final class EventHandle extends CUevent implements Event {
        @Override
        public void close() {
            JCudaDriver.cuEventDestroy(this);
        }
    }

    private static final class GraphHandle extends CUgraphExec implements Graph {
        @Override
        public void close() {
            JCudaDriver.cuGraphExecDestroy(this);
        }
    }

    private static final class FunctionHandle extends CUfunction implements Kernel {
        private final String name;

        FunctionHandle(String name) {
            this.name = name;
        }

        @Override
        public String name() {
            return name;
        }

        long address() {
            return getNativePointer();
        }
    }
}
