package io.tandem.transfer;

import com.typesafe.config.ConfigFactory;
import io.tandem.transfer.BlockTransport.OpenResult;
import io.tandem.transfer.BlockTransport.SendListener;
import io.tandem.transfer.BlockTransport.SendResult;
import java.io.BufferedReader;
import java.io.BufferedWriter;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStreamWriter;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.management.ManagementFactory;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.SplittableRandom;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.zip.CRC32C;

/**
 * Blocks from this process to another on this host: by ipc, by udp, and by a plain blocking TCP socket, in turns within one
 * run. Every block is checked by CRC32C at the receiver on every wire.
 */
public final class TransferBenchmark implements AutoCloseable {
    private static final List<String> WIRES = List.of("tcp", "ipc", "udp");
    private static final int[] BLOCK_BYTES = {256 << 10, 2 << 20};
    static final int BATCH_BYTES = 64 << 20;
    private static final int WARM_BATCHES = 2;
    private static final int ANSWER_SECONDS = 60;

    /**
     * One wire and block size.
     *
     * @param gbPerSecond median of the repeats, 10^9 bytes
     * @param minGbPerSecond slowest repeat
     * @param maxGbPerSecond fastest repeat
     * @param cpuSecondsPerGb both processes, median of the repeats
     * @param p50Millis one block alone, from handing it over to its acknowledgement
     * @param failures transfers or blocks that were not verified
     */
    public record Row(
            String wire,
            int blockBytes,
            int repeats,
            double gbPerSecond,
            double minGbPerSecond,
            double maxGbPerSecond,
            double cpuSecondsPerGb,
            double p50Millis,
            double p99Millis,
            long failures) {}

    /** One repeat. */
    private record Sample(double gbPerSecond, double cpuSecondsPerGb, long[] latencyNanos, long failures) {}

    /** A way to move blocks and wait for the receiver's word. */
    private interface Mover extends AutoCloseable {
        /** Moves {@code blocks} blocks as one transfer and waits until it is acknowledged. */
        void move(long lease, int blocks) throws Exception;

        @Override
        void close() throws IOException;
    }

    private final Process peer;
    private final BufferedWriter commands;
    private final BufferedReader answers;
    private final int latencyBlocks;
    private long nextLease = 1;

    private TransferBenchmark(int latencyBlocks) throws IOException {
        this.latencyBlocks = latencyBlocks;
        List<String> command = new ArrayList<>();
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        for (String flag : ManagementFactory.getRuntimeMXBean().getInputArguments()) {
            if (flag.startsWith("--") || flag.startsWith("-X")) {
                command.add(flag);
            }
        }
        command.addAll(List.of("-cp", System.getProperty("java.class.path"), BenchmarkPeer.class.getName()));
        peer = new ProcessBuilder(command)
                .redirectError(ProcessBuilder.Redirect.DISCARD)
                .start();
        commands = new BufferedWriter(new OutputStreamWriter(peer.getOutputStream(), StandardCharsets.UTF_8));
        answers = new BufferedReader(new InputStreamReader(peer.getInputStream(), StandardCharsets.UTF_8));
    }

    /**
     * Runs all wires and sizes.
     *
     * @param repeats of each, 1 to 20; the first turn of each is thrown away on top
     * @param latencyBlocks blocks sent one at a time for the latencies of a repeat, 1 to 1000
     * @throws IOException when the receiving process cannot be started or ends early
     */
    public static List<Row> run(int repeats, int latencyBlocks) throws Exception {
        if (repeats < 1 || repeats > 20 || latencyBlocks < 1 || latencyBlocks > 1000) {
            throw new IllegalArgumentException(
                    "repeats must be 1 to 20 and latencyBlocks 1 to 1000, not " + repeats + " and " + latencyBlocks);
        }
        List<Row> rows = new ArrayList<>();
        try (TransferBenchmark benchmark = new TransferBenchmark(latencyBlocks)) {
            for (int blockBytes : BLOCK_BYTES) {
                List<List<Sample>> samples = new ArrayList<>();
                WIRES.forEach(w -> samples.add(new ArrayList<>()));
                for (int i = 0; i <= repeats; i++) {
                    for (int w = 0; w < WIRES.size(); w++) {
                        Sample sample = benchmark.sample(WIRES.get(w), blockBytes);
                        if (i > 0) {
                            samples.get(w).add(sample);
                        }
                    }
                }
                for (int w = 0; w < WIRES.size(); w++) {
                    rows.add(row(WIRES.get(w), blockBytes, samples.get(w)));
                }
            }
        }
        return rows;
    }

    /** Runs it with 5 repeats, or as many as the first argument says, and prints the table. */
    public static void main(String[] arguments) throws Exception {
        System.out.print(markdown(run(arguments.length > 0 ? Integer.parseInt(arguments[0]) : 5, 200)));
    }

    /** A table for people, ratios to TCP included. */
    public static String markdown(List<Row> rows) {
        StringBuilder text = new StringBuilder(1024);
        text.append("| wire | block | GB/s median (min to max) | of TCP | CPU-s/GB | p50 / p99 ms | failures |\n")
                .append("|---|---|---|---|---|---|---|\n");
        for (Row r : rows) {
            double tcp = rows.stream()
                    .filter(o -> o.wire().equals("tcp") && o.blockBytes() == r.blockBytes())
                    .mapToDouble(Row::gbPerSecond)
                    .findFirst()
                    .orElse(Double.NaN);
            text.append(String.format(
                    Locale.ROOT,
                    "| %s | %d KiB | %.2f (%.2f to %.2f) | %.2f | %.2f | %.2f / %.2f | %d |%n",
                    r.wire(),
                    r.blockBytes() >> 10,
                    r.gbPerSecond(),
                    r.minGbPerSecond(),
                    r.maxGbPerSecond(),
                    r.gbPerSecond() / tcp,
                    r.cpuSecondsPerGb(),
                    r.p50Millis(),
                    r.p99Millis(),
                    r.failures()));
        }
        return text.toString();
    }

    static TransferSettings settings(String wire) {
        return TransferSettings.from(ConfigFactory.parseString("tandem.transfer.wire = " + wire)
                .withFallback(ConfigFactory.load())
                .resolve());
    }

    private static Row row(String wire, int blockBytes, List<Sample> samples) {
        double[] speed =
                samples.stream().mapToDouble(Sample::gbPerSecond).sorted().toArray();
        double[] cpu =
                samples.stream().mapToDouble(Sample::cpuSecondsPerGb).sorted().toArray();
        long[] latency = samples.stream()
                .flatMapToLong(s -> Arrays.stream(s.latencyNanos()))
                .sorted()
                .toArray();
        return new Row(
                wire,
                blockBytes,
                samples.size(),
                speed[speed.length / 2],
                speed[0],
                speed[speed.length - 1],
                cpu[cpu.length / 2],
                latency[latency.length / 2] / 1e6,
                latency[(int) (latency.length * 0.99)] / 1e6,
                samples.stream().mapToLong(Sample::failures).sum());
    }

    private Sample sample(String wire, int blockBytes) throws Exception {
        String[] at = ask("start " + wire + " " + blockBytes).split(" ", -1);
        int blocks = BATCH_BYTES / blockBytes;
        int batches = wire.equals("udp") ? 4 : 10;
        long[] latency = new long[latencyBlocks];
        double speed;
        double cpu;
        try (Arena arena = Arena.ofShared();
                Mover mover = mover(wire, at, random(arena, blockBytes))) {
            long lease = expect(wire, WARM_BATCHES + batches, blocks);
            for (int i = 0; i < WARM_BATCHES; i++) {
                mover.move(lease++, blocks);
            }
            long cpuBefore = cpuOfBoth();
            long begin = System.nanoTime();
            for (int i = 0; i < batches; i++) {
                mover.move(lease++, blocks);
            }
            double nanos = System.nanoTime() - begin;
            double bytes = (double) batches * BATCH_BYTES;
            cpu = (cpuOfBoth() - cpuBefore) / bytes;
            speed = bytes / nanos;
            lease = expect(wire, latencyBlocks, 1);
            for (int i = 0; i < latencyBlocks; i++) {
                long start = System.nanoTime();
                mover.move(lease++, 1);
                latency[i] = System.nanoTime() - start;
            }
        }
        return new Sample(speed, cpu, latency, Long.parseLong(ask("stop")));
    }

    private Mover mover(String wire, String[] at, MemorySegment source) throws IOException {
        if (wire.equals("tcp")) {
            return new TcpMover(Integer.parseInt(at[0]), source);
        }
        return new AeronMover(wire, new TransferEndpoint(wire, List.of(at[0]), Integer.parseInt(at[1]), at[2]), source);
    }

    /** Opens the receiving leases; answers the first one's number. */
    private long expect(String wire, int leases, int blocks) throws Exception {
        long first = nextLease;
        nextLease += leases;
        if (!wire.equals("tcp")) {
            String answer = ask("open " + first + " " + leases + " " + blocks);
            if (!answer.equals("ok")) {
                throw new IOException("the receiving process did not open its leases: " + answer);
            }
        }
        return first;
    }

    private long cpuOfBoth() throws IOException {
        return BenchmarkPeer.cpuNanos() + Long.parseLong(ask("cpu"));
    }

    private String ask(String command) throws IOException {
        commands.write(command);
        commands.newLine();
        commands.flush();
        for (String line = answers.readLine(); line != null; line = answers.readLine()) {
            if (line.startsWith("@")) {
                return line.substring(1);
            }
        }
        throw new IOException("the receiving process ended at command '" + command + "'");
    }

    private static MemorySegment random(Arena arena, int bytes) {
        byte[] content = new byte[bytes];
        new SplittableRandom(7).nextBytes(content);
        MemorySegment block = arena.allocate(bytes, 64);
        MemorySegment.copy(content, 0, block, ValueLayout.JAVA_BYTE, 0, bytes);
        return block;
    }

    @Override
    public void close() throws IOException {
        try {
            commands.close();
            if (!peer.waitFor(10, TimeUnit.SECONDS)) {
                peer.destroyForcibly();
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } finally {
            peer.destroyForcibly();
            answers.close();
        }
    }

    private static final class AeronMover implements Mover, SendListener {
        private final AeronTransport transport;
        private final TransferEndpoint to;
        private final MemorySegment source;
        private final BlockingQueue<String> ends = new ArrayBlockingQueue<>(1);

        AeronMover(String wire, TransferEndpoint to, MemorySegment source) {
            this.to = to;
            this.source = source;
            transport = AeronTransport.start(settings(wire));
        }

        @Override
        public void move(long number, int blocks) throws Exception {
            LeaseId lease = new LeaseId(number, 1);
            long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(ANSWER_SECONDS);
            OpenResult opened = transport.openSend(lease, to, blocks, deadline, this);
            if (opened != OpenResult.OPENED) {
                throw new IOException("cannot send: " + opened);
            }
            for (int i = 0; i < blocks; i++) {
                while (transport.send(lease, i, source) == SendResult.BACK_PRESSURED) {
                    Thread.onSpinWait();
                }
            }
            String end = ends.poll(2L * ANSWER_SECONDS, TimeUnit.SECONDS);
            if (!"ok".equals(end)) {
                throw new IOException("a transfer over " + to.wire() + " failed: " + end);
            }
        }

        @Override
        public void onAcknowledged(LeaseId lease, TransferStats stats) {
            ends.add("ok");
        }

        @Override
        public void onFailed(LeaseId lease, TransferFailure failure, TransferStats stats) {
            ends.add(failure.toString());
        }

        @Override
        public void close() {
            transport.close();
        }
    }

    private static final class TcpMover implements Mover {
        private final SocketChannel socket;
        private final ByteBuffer block;
        private final ByteBuffer[] message;
        private final ByteBuffer answer = ByteBuffer.allocateDirect(1);
        private final CRC32C crc = new CRC32C();

        TcpMover(int port, MemorySegment source) throws IOException {
            socket = SocketChannel.open(new InetSocketAddress(InetAddress.getLoopbackAddress(), port));
            block = source.asByteBuffer();
            message = new ByteBuffer[] {ByteBuffer.allocateDirect(BenchmarkPeer.TCP_HEADER_BYTES), block};
        }

        @Override
        public void move(long lease, int blocks) throws Exception {
            for (int i = 0; i < blocks; i++) {
                crc.reset();
                crc.update(block.clear());
                block.clear();
                message[0]
                        .clear()
                        .putInt(block.remaining())
                        .putInt((int) crc.getValue())
                        .putInt(i == blocks - 1 ? 1 : 0)
                        .flip();
                while (block.hasRemaining()) {
                    socket.write(message);
                }
            }
            if (!BenchmarkPeer.fill(socket, answer.clear())) {
                throw new IOException("the receiving process closed the socket");
            }
        }

        @Override
        public void close() throws IOException {
            socket.close();
        }
    }
}
