package io.tandem.compute.cuda;

import io.tandem.compute.cuda.SideStream.Worker;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.function.Consumer;

/**
 * Copies blocks to pinned memory a group of layers at a time while their pass runs: on a stream that waits for the pass's marks
 * and a thread of its own, so that no other copy waits with it.
 */
final class LayerCopier implements AutoCloseable {
    private record Part(
            long pass,
            int group,
            long offset,
            long bytes,
            long[] device,
            MemorySegment[] host,
            Consumer<RuntimeException> done) {}

    private final CudaDriver driver;
    private final LayerMarks marks;
    private final SideStream<Part> side;

    LayerCopier(CudaDriver driver, LayerMarks marks) {
        this.driver = driver;
        this.marks = marks;
        side = new SideStream<>("kv-layers", driver, driver::createStream, 1, new Worker<>() {
            @Override
            public void run(List<Part> parts, SideStream<Part>.Lane lane) {
                parts.forEach(part -> part.done().accept(copy(part, lane)));
            }

            @Override
            public void refuse(Part part, IllegalStateException reason) {
                part.done().accept(reason);
            }
        });
    }

    /** Copies {@code bytes} from an offset of each block to the same offset of its window. */
    void toHost(
            long pass,
            int group,
            long offset,
            long bytes,
            long[] device,
            MemorySegment[] host,
            Consumer<RuntimeException> done) {
        side.add(new Part(pass, group, offset, bytes, device, host, done));
    }

    /** Null when all went well. */
    private RuntimeException copy(Part part, SideStream<Part>.Lane lane) {
        try {
            marks.await(part.pass(), part.group(), lane.stream());
            for (int i = 0; i < part.device().length; i++) {
                driver.copyToHost(
                        part.host()[i].address() + part.offset(),
                        part.device()[i] + part.offset(),
                        part.bytes(),
                        lane.stream());
            }
            lane.finish();
            return null;
        } catch (CudaException | IllegalStateException e) {
            return e;
        }
    }

    @Override
    public void close() {
        side.close();
    }
}
