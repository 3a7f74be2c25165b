package io.tandem.transfer;

import io.tandem.transfer.BlockTransport.OpenResult;
import io.tandem.transfer.BlockTransport.ReceiveListener;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.management.ManagementFactory;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.zip.CRC32C;

/**
 * The receiving process of {@link TransferBenchmark}: takes commands by standard input, answers by lines that begin with
 * "@". It ends when its input does, so it never outlives the process that started it.
 */
public final class BenchmarkPeer implements ReceiveListener {
    /** Before each block over TCP: length, CRC32C, and 1 when an answer is wanted. */
    static final int TCP_HEADER_BYTES = 12;

    private static final long LEASE_SECONDS = 60;

    private final AtomicLong failures = new AtomicLong();
    private AeronTransport transport;
    private ServerSocketChannel server;
    private Thread tcp;
    private Arena arena;
    private MemorySegment[] slots;

    private BenchmarkPeer() {}

    /** Started by {@link TransferBenchmark} only. */
    public static void main(String[] arguments) throws Exception {
        BenchmarkPeer peer = new BenchmarkPeer();
        PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        try (BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8))) {
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                out.println("@" + peer.carryOut(line.split(" ", -1)));
            }
        } finally {
            peer.stop();
        }
    }

    private String carryOut(String[] command) throws Exception {
        return switch (command[0]) {
            case "start" -> start(command[1], Integer.parseInt(command[2]));
            case "open" -> open(Long.parseLong(command[1]), Integer.parseInt(command[2]), Integer.parseInt(command[3]));
            case "cpu" -> Long.toString(cpuNanos());
            case "stop" -> stop();
            default -> throw new IllegalArgumentException("unknown command " + command[0]);
        };
    }

    private String start(String wire, int blockBytes) throws IOException {
        arena = Arena.ofShared();
        slots = new MemorySegment[TransferBenchmark.BATCH_BYTES / blockBytes];
        for (int i = 0; i < slots.length; i++) {
            slots[i] = arena.allocate(blockBytes, 64).fill((byte) 1);
        }
        if (wire.equals("tcp")) {
            server = ServerSocketChannel.open().bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
            tcp = Thread.ofPlatform().daemon(true).name("benchmark-tcp").start(this::receiveTcp);
            return ((InetSocketAddress) server.getLocalAddress()).getPort() + " 0 tcp";
        }
        transport = AeronTransport.start(TransferBenchmark.settings(wire));
        TransferEndpoint e = transport.endpoint();
        return e.channels().getFirst() + " " + e.streamId() + " " + e.hostId();
    }

    private String open(long first, int leases, int blocks) {
        MemorySegment[] some = Arrays.copyOf(slots, blocks);
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(LEASE_SECONDS);
        for (int i = 0; i < leases; i++) {
            OpenResult opened = transport.openReceive(new LeaseId(first + i, 1), some, deadline, this);
            if (opened != OpenResult.OPENED) {
                return opened.toString();
            }
        }
        return "ok";
    }

    private void receiveTcp() {
        ByteBuffer header = ByteBuffer.allocateDirect(TCP_HEADER_BYTES);
        ByteBuffer answer = ByteBuffer.allocateDirect(1);
        ByteBuffer[] blocks =
                Arrays.stream(slots).map(MemorySegment::asByteBuffer).toArray(ByteBuffer[]::new);
        int next = 0;
        CRC32C crc = new CRC32C();
        try (SocketChannel socket = server.accept()) {
            while (fill(socket, header.clear())) {
                header.flip();
                // As many destinations as the other wires have: one alone would stay in the cache.
                ByteBuffer block = blocks[next++ % blocks.length];
                int bytes = header.getInt();
                int expected = header.getInt();
                boolean wanted = header.getInt() == 1;
                if (!fill(socket, block.clear().limit(bytes))) {
                    failures.incrementAndGet();
                    return;
                }
                crc.reset();
                crc.update(block.flip());
                if ((int) crc.getValue() != expected) {
                    failures.incrementAndGet();
                }
                if (wanted) {
                    socket.write(answer.clear());
                }
            }
        } catch (IOException e) {
            failures.incrementAndGet();
        }
    }

    static boolean fill(SocketChannel socket, ByteBuffer to) throws IOException {
        while (to.hasRemaining()) {
            if (socket.read(to) < 0) {
                return false;
            }
        }
        return true;
    }

    static long cpuNanos() {
        return ((com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean())
                .getProcessCpuTime();
    }

    private String stop() throws IOException, InterruptedException {
        if (transport != null) {
            transport.close();
            transport = null;
        }
        if (server != null) {
            tcp.join(TimeUnit.SECONDS.toMillis(5));
            server.close();
            server = null;
        }
        if (arena != null) {
            arena.close();
            arena = null;
        }
        return Long.toString(failures.getAndSet(0));
    }

    @Override
    public void onComplete(LeaseId lease, TransferStats stats) {
        // The sender is told by the acknowledgement.
    }

    @Override
    public void onFailed(LeaseId lease, TransferFailure failure, TransferStats stats) {
        failures.incrementAndGet();
    }
}
