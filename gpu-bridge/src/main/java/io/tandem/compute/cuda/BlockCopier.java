package io.tandem.compute.cuda;

import io.tandem.compute.cuda.CudaDriver.Event;
import io.tandem.compute.cuda.CudaDriver.Stream;
import io.tandem.compute.cuda.SideStream.Worker;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.function.Consumer;

/**
 * Copies blocks between device and pinned memory, beside the passes. What is asked for while copies run goes out together when
 * they are over.
 */
final class BlockCopier implements AutoCloseable {
    /** Few enough that the first of many leaves soon, enough to keep the bus busy between two polls. */
    private static final int MAX_TOGETHER = 32;

    private record Copy(
            long[] device,
            MemorySegment[] host,
            boolean toDevice,
            boolean afterPass,
            Consumer<RuntimeException> done) {}

    private final CudaDriver driver;
    private final Event lastPass;
    private final SideStream<Copy> side;

    /**
     * @param lastPass the mark behind the latest pass, for blocks that a pass nobody waits for may still write to ({@link BlockWrites}).
     *     A block that is read was computed by a pass that is over, and must not wait for the one that runs now
     */
    BlockCopier(CudaDriver driver, Event lastPass) {
        this.driver = driver;
        this.lastPass = lastPass;
        side = new SideStream<>("kv-copier", driver, driver::createStream, MAX_TOGETHER, new Worker<>() {
            @Override
            public void run(List<Copy> copies, SideStream<Copy>.Lane lane) {
                RuntimeException failure = copy(copies, lane);
                copies.forEach(c -> lane.answer(() -> c.done().accept(failure)));
            }

            @Override
            public void refuse(Copy copy, IllegalStateException reason) {
                copy.done().accept(reason);
            }
        });
    }

    void toHost(long device, MemorySegment host, Consumer<RuntimeException> done) {
        side.add(new Copy(new long[] {device}, new MemorySegment[] {host}, false, false, done));
    }

    /** @param afterPass whether a pass that may still run writes to a target */
    void toDevice(long[] device, MemorySegment[] host, boolean afterPass, Consumer<RuntimeException> done) {
        side.add(new Copy(device, host, true, afterPass, done));
    }

    /** Null when all went well. */
    private RuntimeException copy(List<Copy> copies, SideStream<Copy>.Lane lane) {
        try {
            copies.stream().filter(c -> !c.afterPass()).forEach(c -> enqueue(c, lane.stream()));
            if (copies.stream().anyMatch(Copy::afterPass)) {
                driver.waitFor(lane.stream(), lastPass);
                copies.stream().filter(Copy::afterPass).forEach(c -> enqueue(c, lane.stream()));
            }
            lane.finish();
            return null;
        } catch (CudaException | IllegalStateException e) {
            return e;
        }
    }

    private void enqueue(Copy c, Stream stream) {
        for (int i = 0; i < c.device().length; i++) {
            MemorySegment host = c.host()[i];
            if (c.toDevice()) {
                driver.copyToDevice(c.device()[i], host.address(), host.byteSize(), stream);
            } else {
                driver.copyToHost(host.address(), c.device()[i], host.byteSize(), stream);
            }
        }
    }

    @Override
    public void close() {
        side.close();
    }
}
