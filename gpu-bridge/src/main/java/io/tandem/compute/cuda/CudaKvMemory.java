package io.tandem.compute.cuda;

import io.tandem.compute.cuda.CudaDriver.Event;
import io.tandem.compute.cuda.CudaDriver.Stream;
import io.tandem.kvcache.KvLayout;
import io.tandem.kvcache.KvMemory;
import io.tandem.kvcache.PeerBlocks;
import java.lang.foreign.MemorySegment;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Consumer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * KV blocks in the device's memory, one allocation. Blocks travel through pinned windows on a stream of their own. Of a device
 * that is lost nothing is freed.
 */
final class CudaKvMemory implements KvMemory {
    private static final Logger LOG = LoggerFactory.getLogger(CudaKvMemory.class);

    private final CudaDriver driver;
    private final DeviceMemory memory;
    private final KvLayout layout;
    private final int blocks;
    private final long base;
    private final Stream passes;
    private final AtomicBoolean lost;
    private final Event lastPass;
    private final BlockWrites writes;
    private final WindowPool windows;
    private final BlockCopier copier;
    private final LayerMarks marks;
    private final LayerCopier layers;
    private final Optional<CudaPeerBlocks> peers;
    private volatile boolean kept;

    CudaKvMemory(
            CudaDriver driver,
            KvLayout layout,
            int blocks,
            CudaSettings settings,
            Stream passes,
            int passesAtOnce,
            Kernels kernels,
            AtomicBoolean lost) {
        this.driver = driver;
        this.layout = layout;
        this.blocks = blocks;
        this.passes = passes;
        this.lost = lost;
        memory = new DeviceMemory(driver);
        base = memory.take("KV blocks", Math.multiplyExact(layout.blockBytes(), (long) blocks));
        // What no pass has written yet is read into padded tiles, and must be numbers.
        driver.fill(base, (byte) 0, layout.blockBytes() * blocks, passes);
        lastPass = driver.createEvent(false);
        driver.record(lastPass, passes);
        writes = new BlockWrites(blocks, layout.blockTokens());
        windows = new WindowPool(driver, layout.blockBytes(), settings.transferBufferBytes());
        copier = new BlockCopier(driver, lastPass);
        marks = new LayerMarks(driver, passes, layout.layers(), settings.transferLayerGroups(), passesAtOnce);
        layers = new LayerCopier(driver, marks);
        peers = peers(kernels);
    }

    private Optional<CudaPeerBlocks> peers(Kernels kernels) {
        try {
            return Optional.of(new CudaPeerBlocks(driver, layout, blocks, base, lastPass, writes, kernels));
        } catch (CudaException e) {
            LOG.info(
                    "{} does not share its memory with other processes: {}",
                    driver.facts().name(),
                    e.getMessage());
            return Optional.empty();
        }
    }

    long base() {
        return base;
    }

    /** The mark behind the latest pass. */
    Event lastPass() {
        return lastPass;
    }

    /** Which passes write to which blocks. */
    BlockWrites writes() {
        return writes;
    }

    /** The marks behind groups of layers. */
    LayerMarks marks() {
        return marks;
    }

    @Override
    public KvLayout layout() {
        return layout;
    }

    @Override
    public int blocks() {
        return blocks;
    }

    @Override
    public MemorySegment block(int blockId) {
        throw new UnsupportedOperationException(
                "the KV blocks lie in the memory of " + driver.facts().name());
    }

    @Override
    public long address(int blockId) {
        if (blockId < 0 || blockId >= blocks) {
            throw new IndexOutOfBoundsException("KV block " + blockId + " of " + blocks);
        }
        return base + blockId * layout.blockBytes();
    }

    @Override
    public boolean hasWindows() {
        return true;
    }

    @Override
    public MemorySegment borrowWindow(int blockId) {
        return windows.borrow();
    }

    @Override
    public void returnWindow(MemorySegment window) {
        windows.giveBack(window);
    }

    @Override
    public void fillWindow(int blockId, MemorySegment window, Consumer<RuntimeException> done) {
        copier.toHost(address(blockId), window, done);
    }

    @Override
    public void fillBlocks(int[] blockIds, MemorySegment[] windowsOfBlocks, Consumer<RuntimeException> done) {
        copier.toDevice(addresses(blockIds), windowsOfBlocks.clone(), writes.pending(blockIds), done);
    }

    @Override
    public int layerGroups() {
        return marks.groups();
    }

    @Override
    public long groupOffset(int group) {
        return Math.min(group * marks.layersAGroup() * layout.layerBytes(), layout.blockBytes());
    }

    @Override
    public long passes() {
        return marks.begun();
    }

    @Override
    public void fillGroup(
            long pass, int group, int[] blockIds, MemorySegment[] windowsOfBlocks, Consumer<RuntimeException> done) {
        long offset = groupOffset(group);
        long bytes = groupOffset(group + 1) - offset;
        layers.toHost(pass, group, offset, bytes, addresses(blockIds), windowsOfBlocks.clone(), done);
    }

    private long[] addresses(int[] blockIds) {
        long[] addresses = new long[blockIds.length];
        for (int i = 0; i < addresses.length; i++) {
            addresses[i] = address(blockIds[i]);
        }
        return addresses;
    }

    @Override
    public Optional<PeerBlocks> peers() {
        return peers.map(p -> p);
    }

    @Override
    public void keep() {
        kept = true;
        driver.leaveOpen();
    }

    @Override
    public void close() {
        copier.close();
        layers.close();
        boolean free = !lost.get() && !kept && passesAreOver();
        peers.ifPresent(p -> p.end(free));
        if (kept) {
            LOG.warn(
                    "the KV blocks stay in the memory of {} until this process ends: they may be in use still",
                    driver.facts().name());
        }
        if (free) {
            windows.close();
            marks.close();
            lastPass.close();
            memory.close();
        }
    }

    /** An engine that ends leaves a pass behind: one that failed loses the device as any other does. */
    private boolean passesAreOver() {
        try {
            driver.makeCurrent();
            driver.synchronize(passes);
        } catch (CudaException e) {
            LOG.warn("{} failed in its last pass: {}", driver.facts().name(), e.getMessage());
            lost.set(true);
        }
        return !lost.get();
    }
}
