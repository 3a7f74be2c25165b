package io.tandem.compute.cuda;

import io.tandem.compute.BackendInfo;
import io.tandem.compute.ComputeBackend;
import io.tandem.compute.DeviceLostException;
import io.tandem.compute.ForwardBatch;
import io.tandem.compute.ForwardOutput;
import io.tandem.compute.cuda.CudaDriver.Event;
import io.tandem.compute.cuda.CudaDriver.Stream;
import io.tandem.engine.EngineSettings;
import io.tandem.kvcache.KvLayout;
import io.tandem.kvcache.KvMemory;
import io.tandem.model.ModelConfig;
import io.tandem.weights.Checkpoint;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicBoolean;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Computes on an NVIDIA GPU in bf16. Passes overlap: the host makes one ready while the device runs the one before, and only
 * token ids come back. Passes of decodes are recorded graphs. A row's result does not depend on the other rows while the
 * same kernels serve them; it may where a larger batch takes other kernels, so the backend does not call itself
 * batch-invariant.
 */
public final class CudaBackend implements ComputeBackend {
    /** Tokens of a KV block: the kernels know no other. */
    static final int BLOCK_TOKENS = 16;

    private static final Logger LOG = LoggerFactory.getLogger(CudaBackend.class);
    private static final int FLIGHTS = 2;
    private static final long NOWHERE = 0x7000_0000_0000_0000L;
    /** Turns of waiting for a pass before the thread begins to yield: some tens of microseconds. */
    private static final int SPINS = 20_000;

    private final CudaDriver driver;
    private final Checkpoint checkpoint;
    private final ModelConfig config;
    private final CudaSettings settings;
    private final int maxTokens;
    private final int maxSequences;
    private final KvLayout layout;
    private final Stream stream;
    private final DeviceMemory memory;
    private final Kernels kernels;
    private final Optional<CublasLt> lt;
    private final DeviceWeights weights;
    private final StepInputs inputs;
    private final ForwardKernels forward;
    private final SlotState slots;
    private final Flight[] flights = new Flight[FLIGHTS];
    private final BackendInfo info;
    /** Set when a pass failed: nothing is asked of the device any more, and what is on it goes with the process. */
    private final AtomicBoolean lost = new AtomicBoolean();

    private DecodeGraphs graphs;
    private LayerMarks marks;
    private BlockWrites writes;
    private final double uploadSeconds;
    private long waitedNanos;
    private int submitted;
    private int awaited;

    /** Owns driver and checkpoint from here on, also when it fails. */
    CudaBackend(
            CudaDriver driver,
            KernelCatalog catalog,
            Checkpoint checkpoint,
            CudaSettings settings,
            EngineSettings engine,
            int threads,
            List<String> refusals) {
        this.driver = driver;
        this.checkpoint = checkpoint;
        this.settings = settings;
        config = checkpoint.config();
        maxTokens = engine.maxBatchTokens();
        maxSequences = engine.maxSequences();
        layout = new KvLayout(config.layers(), config.kvHeads(), config.headDim(), BLOCK_TOKENS, KvLayout.Dtype.BF16);
        try {
            driver.makeCurrent();
            memory = new DeviceMemory(driver);
            stream = driver.createStream();
            kernels = new Kernels(driver, catalog, stream, settings.overlapKernels());
            lt = settings.cublasLt().equals("off") ? Optional.empty() : CublasLt.load(settings.cublasLt());
            long start = System.nanoTime();
            weights = new DeviceWeights(driver, memory, checkpoint, stream, threads);
            uploadSeconds = (System.nanoTime() - start) / 1e9;
            Activations activations = Activations.take(memory, stream, config, kernels, maxTokens, maxSequences);
            int maxBlocks = layout.blocksFor(config.maxContextTokens());
            inputs = new StepInputs(driver, memory, stream, maxTokens, maxSequences, maxBlocks);
            Products products = new Products(driver, kernels, stream, lt, activations.workspace(), memory);
            CopyMaps maps = kernels.has(KernelName.ATTENTION_PREFILL_TMA)
                    ? new CopyMaps(driver, memory, stream, config, layout, weights, activations, maxTokens)
                    : null;
            forward = new ForwardKernels(
                    config, driver.facts(), kernels, products, weights, inputs, activations, maps, layout);
            slots = new SlotState(driver, stream, forward, activations, config, maxSequences, this::reach);
            for (int i = 0; i < FLIGHTS; i++) {
                flights[i] = new Flight(driver, stream, inputs, activations, config.vocabSize(), maxSequences);
            }
            driver.synchronize(stream);
            LOG.info(String.format(
                    "weights on %s in %.2f s, %.2f GB/s; kernels for %s; large products by %s; taken: %s",
                    driver.facts().name(),
                    uploadSeconds,
                    weights.bytes / uploadSeconds / 1e9,
                    catalog.target(),
                    lt.map(CublasLt::library).orElse("our own kernel"),
                    memory.figures()));
        } catch (RuntimeException | Error e) {
            driver.close();
            checkpoint.close();
            throw e;
        }
        info = new BackendInfo(
                "cuda",
                driver.facts().toString() + ", kernels for " + catalog.target() + ", large products by "
                        + lt.map(CublasLt::library).orElse("our own kernel"),
                refusals,
                false,
                driver.facts().totalBytes());
    }

    @Override
    public BackendInfo info() {
        return info;
    }

    @Override
    public ModelConfig model() {
        return config;
    }

    @Override
    public KvLayout kvLayout() {
        return layout;
    }

    /** What the device has left of this process's share, less a reserve for graphs and the driver. */
    @Override
    public long kvMemoryBytes(long hostBytes) {
        driver.makeCurrent();
        long share = (long) (driver.facts().totalBytes() * settings.memoryFraction()) - memory.takenBytes();
        long bytes = Math.min(share, driver.freeBytes()) - settings.memoryReserveBytes();
        if (bytes < layout.blockBytes() * 2) {
            throw new IllegalStateException(String.format(
                    "%s has no memory for KV blocks: %.2f of %.2f GiB free, share %.0f %%, taken: %s. Raise"
                            + " tandem.compute.cuda.memory-fraction or use a smaller model",
                    driver.facts().name(),
                    driver.freeBytes() / (double) (1 << 30),
                    driver.facts().totalBytes() / (double) (1 << 30),
                    100 * settings.memoryFraction(),
                    memory.figures()));
        }
        return bytes;
    }

    @Override
    public KvMemory allocateKv(int blocks) {
        driver.makeCurrent();
        CudaKvMemory kv = new CudaKvMemory(driver, layout, blocks, settings, stream, FLIGHTS, kernels, lost);
        try {
            makeReady(kv);
        } catch (RuntimeException | Error e) {
            kv.close();
            throw e;
        }
        LOG.info(
                "{} KV blocks of {} bytes; {} graphs; free {} MiB",
                blocks,
                layout.blockBytes(),
                graphs == null ? 0 : graphs.count(),
                driver.freeBytes() >> 20);
        return kv;
    }

    private void makeReady(CudaKvMemory kv) {
        forward.kv(kv.base(), kv.blocks());
        rehearse();
        marks = kv.marks();
        writes = kv.writes();
        forward.marks(marks);
        if (settings.graphs()) {
            graphs = DecodeGraphs.capture(driver, stream, forward, maxSequences);
        }
    }

    /** Runs each kind of pass once over no sequences, so that libraries load their kernels before something is recorded. */
    private void rehearse() {
        for (int bucket : DecodeGraphs.buckets(maxSequences)) {
            forward.decode(bucket);
        }
        forward.mixed(maxTokens, 1, 1, maxTokens - 1, 1);
        driver.synchronize(stream);
    }

    @Override
    public int maxBatchTokens() {
        return maxTokens;
    }

    @Override
    public boolean choosesTokens() {
        return true;
    }

    @Override
    public boolean overlapsPasses() {
        return true;
    }

    @Override
    public void forward(ForwardBatch batch, KvMemory kv, ForwardOutput output) {
        submit(batch, kv, output);
        await();
    }

    @Override
    public void submit(ForwardBatch batch, KvMemory kv, ForwardOutput output) {
        if (submitted - awaited >= FLIGHTS) {
            throw new IllegalStateException(FLIGHTS + " passes are under way already");
        }
        Flight flight = flights[submitted % FLIGHTS];
        try {
            driver.makeCurrent();
            marks.begin();
            writes.begin(batch);
            if (marks.begun() == settings.faultAfterPasses()) {
                breakDevice();
            }
            enqueue(batch, flight, output);
            driver.record(((CudaKvMemory) kv).lastPass(), stream);
        } catch (CudaException e) {
            throw lost("cannot run a pass: " + e.getMessage(), e);
        }
        submitted++;
    }

    /** What a broken kernel does: reads where nothing is, after which the context is lost. */
    private void breakDevice() {
        LOG.warn(
                "{} is broken on purpose: tandem.compute.cuda.fault-after-passes",
                driver.facts().name());
        kernels.afterCopy();
        kernels.call(KernelName.READ_PROBE)
                .address(NOWHERE)
                .wide(1 << 20)
                .address(NOWHERE)
                .on(1);
    }

    private void enqueue(ForwardBatch batch, Flight flight, ForwardOutput output) {
        StepInputs.Host in = flight.inputs;
        in.fill(batch);
        flight.begin(batch, output);
        in.send();
        slots.prepare(batch, in);
        if (in.decodesOnly() && graphs != null) {
            driver.launch(graphs.forBatch(in.decodes), stream);
        } else if (in.decodesOnly()) {
            forward.decode(in.decodes);
        } else {
            int decodeTokens = in.decodes;
            forward.mixed(batch.tokens, in.decodes, in.prefills, batch.tokens - decodeTokens, in.rows);
        }
        if (in.draws) {
            kernels.afterCopy();
            forward.draw(in.rows);
        }
        flight.fetch();
    }

    @Override
    public void await() {
        Flight flight = flights[awaited % FLIGHTS];
        long start = System.nanoTime();
        reach(flight.over);
        waitedNanos += System.nanoTime() - start;
        awaited++;
        writes.end();
        flight.deliver();
    }

    /** Waits for a mark, for as long as a pass may take. */
    private void reach(Event mark) {
        long deadline = System.nanoTime() + settings.stepTimeout().toNanos();
        try {
            for (int spins = 0; !driver.isDone(mark); spins++) {
                if (spins < SPINS) {
                    Thread.onSpinWait();
                } else {
                    Thread.yield();
                }
                if ((spins & 0xfff) == 0 && System.nanoTime() - deadline > 0) {
                    throw lost(
                            "hangs: a pass is not over after "
                                    + settings.stepTimeout().toMillis() + " ms",
                            null);
                }
            }
        } catch (CudaException e) {
            throw lost("failed in a pass: " + e.getMessage(), e);
        }
    }

    private DeviceLostException lost(String how, CudaException cause) {
        lost.set(true);
        return new DeviceLostException(driver.facts().name() + " " + how, cause);
    }

    // ---- for measurements and checks

    CudaDriver driver() {
        return driver;
    }

    Stream stream() {
        return stream;
    }

    Kernels kernels() {
        return kernels;
    }

    /** Time spent waiting for passes since the start. */
    long waitedNanos() {
        return waitedNanos;
    }

    long uploadBytes() {
        return weights.bytes;
    }

    double uploadSeconds() {
        return uploadSeconds;
    }

    /**
     * Frees all of it. Of a device that is lost nothing is freed: its driver calls fail, or never return when it hangs. What
     * was there goes when the process ends.
     */
    @Override
    public void close() {
        if (lost.get()) {
            LOG.warn(
                    "{} is lost: what it holds is freed when this process ends",
                    driver.facts().name());
        } else {
            free();
        }
        checkpoint.close();
    }

    private void free() {
        driver.makeCurrent();
        if (graphs != null) {
            graphs.close();
        }
        for (Flight flight : flights) {
            flight.free();
        }
        slots.close();
        lt.ifPresent(CublasLt::close);
        memory.close();
        stream.close();
        kernels.close();
        driver.close();
    }
}
