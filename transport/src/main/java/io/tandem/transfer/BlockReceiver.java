package io.tandem.transfer;

import io.tandem.transfer.wire.AbortTransferDecoder;
import io.tandem.transfer.wire.BlockChunkDecoder;
import io.tandem.transfer.wire.ClosePoolDecoder;
import io.tandem.transfer.wire.MessageHeaderDecoder;
import io.tandem.transfer.wire.MessageHeaderEncoder;
import io.tandem.transfer.wire.OfferBlockDecoder;
import io.tandem.transfer.wire.OfferPoolDecoder;
import io.tandem.transfer.wire.OpenTransferDecoder;
import io.tandem.transfer.wire.Outcome;
import io.tandem.transfer.wire.PoolAnswerEncoder;
import io.tandem.transfer.wire.PoolState;
import io.tandem.transfer.wire.TransferResultEncoder;
import java.util.ArrayDeque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.function.LongSupplier;
import java.util.zip.CRC32C;
import org.agrona.DirectBuffer;
import org.agrona.collections.Long2ObjectHashMap;
import org.agrona.concurrent.Agent;
import org.agrona.concurrent.ManyToOneConcurrentArrayQueue;
import org.agrona.concurrent.UnsafeBuffer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Receives blocks: copies each chunk straight to its place in the final slot and checks its sum while it is in the cache.
 * A lease is complete when every slot has all its bytes, never because a stream ended. One thread; allocates nothing per
 * chunk.
 */
final class BlockReceiver implements Agent, PoolImports.Agent {
    private static final int HEADER = MessageHeaderDecoder.ENCODED_LENGTH;
    private static final int CHUNK_HEADER = HEADER + BlockChunkDecoder.BLOCK_LENGTH;
    private static final int POLL_LIMIT = 64;
    private static final long DEADLINE_SCAN_NANOS = TimeUnit.MILLISECONDS.toNanos(5);
    private static final int MAX_REASON = 300;
    private static final Logger LOG = LoggerFactory.getLogger(BlockReceiver.class);
    private static final long REPLY_PATIENCE_NANOS = TimeUnit.SECONDS.toNanos(5);

    /** A stream back to one sender. */
    static final class Peer {
        final Channels.Outbound stream;
        long lastUsedNanos;
        /** Pools of this sender that are open here. */
        int links;

        Peer(Channels.Outbound stream) {
            this.stream = stream;
        }
    }

    /** A message to a sender, written when there is room. */
    private record Reply(Peer peer, int length, Consumer<Channels.Outbound> writer, long giveUpNanos) {}

    private final Channels channels;
    private final int maxPeers;
    private final int maxReplies;
    private final LongSupplier clock;
    private final Counters counters;
    private final ConcurrentHashMap<Long, ReceiveLease> open;
    private final ManyToOneConcurrentArrayQueue<Runnable> commands;
    private final Map<String, Peer> peers = new HashMap<>();
    /** Leases whose sender has spoken; looked up for each chunk without boxing. */
    private final Long2ObjectHashMap<ReceiveLease> bound = new Long2ObjectHashMap<>();

    private final ArrayDeque<Reply> replies = new ArrayDeque<>();
    private final UnsafeBuffer slot = new UnsafeBuffer(0, 0);
    private final CRC32C crc = new CRC32C();
    private final MessageHeaderDecoder header = new MessageHeaderDecoder();
    private final OpenTransferDecoder openTransfer = new OpenTransferDecoder();
    private final BlockChunkDecoder chunk = new BlockChunkDecoder();
    private final AbortTransferDecoder abort = new AbortTransferDecoder();
    private final OfferPoolDecoder offerPool = new OfferPoolDecoder();
    private final OfferBlockDecoder offerBlock = new OfferBlockDecoder();
    private final ClosePoolDecoder closePool = new ClosePoolDecoder();
    private final PoolAnswerEncoder poolAnswer = new PoolAnswerEncoder();
    private final PoolImports imports;
    private final MessageHeaderEncoder headerOut = new MessageHeaderEncoder();
    private final TransferResultEncoder result = new TransferResultEncoder();
    private final Channels.MessageHandler onMessage = this::onMessage;
    private volatile boolean scanNow;
    private long lastScanNanos;

    /** Of this duty cycle. */
    private long nowNanos;

    BlockReceiver(
            Channels channels,
            TransferLimits limits,
            LongSupplier clock,
            Counters counters,
            ConcurrentHashMap<Long, ReceiveLease> open) {
        this.channels = channels;
        this.maxPeers = limits.maxPeers();
        this.maxReplies = 4 * limits.maxLeases();
        this.clock = clock;
        this.counters = counters;
        this.open = open;
        commands = new ManyToOneConcurrentArrayQueue<>(limits.queueEntries());
        imports = new PoolImports(this, limits.maxPeers() / 2, limits.connectTimeoutNanos());
    }

    /** The pools of senders that this side reads. */
    PoolImports imports() {
        return imports;
    }

    /** Has the agent look at its leases in its next cycle. */
    void scanSoon() {
        scanNow = true;
    }

    /** Ends an empty lease on the agent's thread, like any other. */
    boolean offerEmpty(ReceiveLease lease) {
        return commands.offer(() -> complete(lease));
    }

    @Override
    public int doWork() {
        int work = channels.doWork() + commands.drain(Runnable::run, POLL_LIMIT);
        long now = clock.getAsLong();
        nowNanos = now;
        work += channels.inbound().poll(onMessage, POLL_LIMIT);
        work += imports.doWork(now);
        work += sendReplies();
        if (scanNow || now - lastScanNanos > DEADLINE_SCAN_NANOS) {
            scanNow = false;
            lastScanNanos = now;
            for (ReceiveLease lease : open.values()) {
                if (lease.ending != null) {
                    continue;
                }
                if (lease.aborting) {
                    fail(lease, TransferFailure.ABORTED_BY_RECEIVER);
                    work++;
                } else if (now - lease.deadlineNanos >= 0) {
                    fail(lease, TransferFailure.DEADLINE);
                    work++;
                }
            }
        }
        return work;
    }

    private void onMessage(DirectBuffer buffer, int offset, int length) {
        if (length < HEADER) {
            return;
        }
        header.wrap(buffer, offset);
        if (header.schemaId() != BlockChunkDecoder.SCHEMA_ID || length < HEADER + header.blockLength()) {
            return;
        }
        switch (header.templateId()) {
            case BlockChunkDecoder.TEMPLATE_ID -> onChunk(buffer, offset, length);
            case OpenTransferDecoder.TEMPLATE_ID -> onOpen(buffer, offset);
            case AbortTransferDecoder.TEMPLATE_ID -> onAbort(buffer, offset);
            case OfferBlockDecoder.TEMPLATE_ID -> onOfferBlock(buffer, offset);
            case OfferPoolDecoder.TEMPLATE_ID -> onOfferPool(buffer, offset);
            case ClosePoolDecoder.TEMPLATE_ID -> onClosePool(buffer, offset);
            default -> {
                // A later version's message; its sender learns nothing, and its lease ends by deadline.
            }
        }
    }

    private void onOpen(DirectBuffer buffer, int offset) {
        openTransfer.wrapAndApplyHeader(buffer, offset, header);
        LeaseId id = new LeaseId(openTransfer.leaseId(), openTransfer.epoch());
        long senderId = openTransfer.senderId();
        int blocks = openTransfer.blocks();
        int stream = openTransfer.replyStreamId();
        long link = openTransfer.link() == OpenTransferDecoder.linkNullValue() ? 0 : openTransfer.link();
        String wire = openTransfer.replyWire();
        Peer peer = peer(wire, openTransfer.replyChannel(), stream);
        if (peer == null) {
            return;
        }
        ReceiveLease lease = open.get(id.id());
        if (lease == null) {
            reply(peer, id, senderId, Outcome.UNKNOWN_LEASE, Nothing.STATS);
        } else if (lease.id.epoch() != id.epoch()) {
            reply(peer, id, senderId, Outcome.WRONG_EPOCH, Nothing.STATS);
        } else if (lease.peer != null || blocks < lease.least || blocks > lease.blocks) {
            lease.peer = lease.peer == null ? peer : lease.peer;
            lease.senderId = senderId;
            fail(lease, TransferFailure.PROTOCOL_ERROR);
        } else {
            lease.peer = peer;
            lease.senderId = senderId;
            lease.expected = blocks;
            bind(lease, link);
        }
    }

    private void bind(ReceiveLease lease, long link) {
        lease.link = link == 0 ? null : imports.open(link);
        if (link != 0 && lease.link == null) {
            fail(lease, TransferFailure.NO_DIRECT_PATH);
        } else if (link == 0 && !lease.takeMemory()) {
            fail(lease, TransferFailure.NO_MEMORY);
        } else {
            bound.put(lease.id.id(), lease);
        }
    }

    private void onOfferPool(DirectBuffer buffer, int offset) {
        offerPool.wrapAndApplyHeader(buffer, offset, header);
        long link = offerPool.link();
        long epoch = offerPool.epoch();
        int stream = offerPool.replyStreamId();
        String path = offerPool.path();
        String wire = offerPool.replyWire();
        Peer peer = peer(wire, offerPool.replyChannel(), stream);
        byte[] ticket = new byte[offerPool.ticketLength()];
        offerPool.getTicket(ticket, 0, ticket.length);
        if (peer != null) {
            imports.offered(peer, link, epoch, path, ticket);
        }
    }

    private void onClosePool(DirectBuffer buffer, int offset) {
        closePool.wrapAndApplyHeader(buffer, offset, header);
        imports.closeAsked(closePool.link());
    }

    private void onOfferBlock(DirectBuffer buffer, int offset) {
        offerBlock.wrapAndApplyHeader(buffer, offset, header);
        ReceiveLease lease = bound.get(offerBlock.leaseId());
        if (lease == null || lease.id.epoch() != offerBlock.epoch() || lease.link == null) {
            return;
        }
        if (lease.link.id != offerBlock.link() || lease.link.state != PoolImports.State.OPEN) {
            fail(lease, TransferFailure.NO_DIRECT_PATH);
            return;
        }
        int to = offerBlock.slot();
        if (to < 0 || to >= lease.expected || offerBlock.blockBytes() <= 0 || offerBlock.block() < 0) {
            fail(lease, TransferFailure.PROTOCOL_ERROR);
            return;
        }
        if (lease.received[to] == 0) {
            lease.received[to] = offerBlock.blockBytes();
            // What was offered before is all here: the sender has had nothing to offer since.
            lease.arrives(lease.blocksOffered == lease.blocksDone ? Long.MAX_VALUE : 0, nowNanos);
            lease.blocksOffered++;
            imports.want(lease, to, offerBlock.block(), offerBlock.blockBytes(), offerBlock.sum());
        }
    }

    @Override
    public void fetched(
            ReceiveLease lease, int[] slots, long[] expectedSums, long[] sums, long blockBytes, String failure) {
        if (lease.ending != null) {
            fail(lease, lease.ending);
            return;
        }
        if (!failure.isEmpty()) {
            LOG.warn("blocks of {} cannot be fetched: {}", lease.id, failure);
            fail(lease, TransferFailure.DEVICE_ERROR);
            return;
        }
        for (int i = 0; i < slots.length; i++) {
            if (sums[i] != expectedSums[i]) {
                lease.checksumFailures++;
                counters.checksumFailures.incrementAndGet();
            }
        }
        if (lease.checksumFailures > 0) {
            fail(lease, TransferFailure.CHECKSUM_MISMATCH);
            return;
        }
        lease.arrives(0, nowNanos);
        lease.blocksDone += slots.length;
        lease.bytesDone += slots.length * blockBytes;
        counters.directBlocksReceived.lazySet(counters.directBlocksReceived.get() + slots.length);
        if (lease.complete()) {
            complete(lease);
        }
    }

    @Override
    public void answer(Peer peer, long link, PoolState state, String reason) {
        String ascii = reason.replaceAll("[^ -~]", "?");
        String text = ascii.substring(0, Math.min(ascii.length(), MAX_REASON));
        int length = HEADER + PoolAnswerEncoder.BLOCK_LENGTH + PoolAnswerEncoder.reasonHeaderLength() + text.length();
        reply(
                peer,
                length,
                stream -> poolAnswer
                        .wrapAndApplyHeader(stream.buffer(), stream.offset(), headerOut)
                        .link(link)
                        .state(state)
                        .reason(text));
    }

    private Peer peer(String wire, String channel, int streamId) {
        String key = wire + " " + channel + " " + streamId;
        Peer known = peers.get(key);
        if (known == null) {
            if (peers.size() >= maxPeers) {
                closeIdlest();
            }
            Channels.Outbound stream = channels.connect(wire, channel, streamId);
            if (stream == null) {
                return null;
            }
            known = new Peer(stream);
            peers.put(key, known);
        }
        known.lastUsedNanos = clock.getAsLong();
        return known;
    }

    /** Streams back carry one message a lease: closing one that is in use costs its sender a wait, not a block. */
    private void closeIdlest() {
        Map.Entry<String, Peer> idlest = null;
        for (Map.Entry<String, Peer> p : peers.entrySet()) {
            if (p.getValue().links > 0) {
                continue;
            }
            if (idlest == null || p.getValue().lastUsedNanos < idlest.getValue().lastUsedNanos) {
                idlest = p;
            }
        }
        if (idlest != null) {
            idlest.getValue().stream.close();
            peers.remove(idlest.getKey());
        }
    }

    private void onChunk(DirectBuffer buffer, int offset, int length) {
        chunk.wrapAndApplyHeader(buffer, offset, header);
        ReceiveLease lease = bound.get(chunk.leaseId());
        if (lease == null || lease.id.epoch() != chunk.epoch() || lease.link != null) {
            return;
        }
        int to = chunk.slot();
        int bytes = chunk.chunkBytes();
        long at = chunk.blockOffset();
        boolean fits = to >= 0
                && to < lease.expected
                && bytes > 0
                && length == CHUNK_HEADER + bytes
                && chunk.blockBytes() == lease.slots[to].byteSize()
                && at >= 0
                && at <= lease.received[to]
                && at + bytes <= chunk.blockBytes();
        if (fits && at + bytes <= lease.received[to]) {
            return; // a duplicate of verified bytes
        }
        if (!fits || at != lease.received[to]) {
            fail(lease, TransferFailure.PROTOCOL_ERROR);
            return;
        }
        lease.arrives(TimeUnit.MICROSECONDS.toNanos(chunk.waitedMicros()), nowNanos);
        slot.wrap(lease.slots[to].address() + at, bytes);
        slot.putBytes(0, buffer, offset + CHUNK_HEADER, bytes);
        crc.reset();
        crc.update(lease.views[to].limit((int) at + bytes).position((int) at));
        if (crc.getValue() != chunk.crc32c()) {
            lease.checksumFailures++;
            counters.checksumFailures.incrementAndGet();
            fail(lease, TransferFailure.CHECKSUM_MISMATCH);
            return;
        }
        lease.received[to] += bytes;
        lease.bytesDone += bytes;
        counters.bytesReceived.lazySet(counters.bytesReceived.get() + bytes);
        if (lease.received[to] == chunk.blockBytes()) {
            lease.blocksDone++;
            counters.blocksReceived.lazySet(counters.blocksReceived.get() + 1);
            if (lease.complete()) {
                complete(lease);
            }
        }
    }

    private void onAbort(DirectBuffer buffer, int offset) {
        abort.wrapAndApplyHeader(buffer, offset, header);
        ReceiveLease lease = open.get(abort.leaseId());
        if (lease != null && lease.id.epoch() == abort.epoch()) {
            fail(lease, TransferFailure.ABORTED_BY_SENDER);
        }
    }

    private void complete(ReceiveLease lease) {
        if (open.remove(lease.id.id(), lease)) {
            bound.remove(lease.id.id());
            TransferStats stats = lease.stats(clock.getAsLong());
            if (lease.peer != null) {
                reply(lease.peer, lease.id, lease.senderId, Outcome.COMPLETE, stats);
            }
            Listeners.tell(() -> lease.listener.onComplete(lease.id, stats));
        }
    }

    /** A lease that fetches ends when it does so no more. */
    private void fail(ReceiveLease lease, TransferFailure failure) {
        if (lease.fetching > 0) {
            lease.ending = lease.ending == null ? failure : lease.ending;
            bound.remove(lease.id.id());
            return;
        }
        imports.forget(lease);
        if (open.remove(lease.id.id(), lease)) {
            bound.remove(lease.id.id());
            counters.leasesFailed.incrementAndGet();
            TransferStats stats = lease.stats(clock.getAsLong());
            if (lease.peer != null && (failure != TransferFailure.ABORTED_BY_SENDER || lease.link != null)) {
                reply(lease.peer, lease.id, lease.senderId, Outcomes.outcome(failure), stats);
            }
            Listeners.tell(() -> lease.listener.onFailed(lease.id, failure, stats));
        }
    }

    private void reply(Peer peer, LeaseId id, long senderId, Outcome outcome, TransferStats stats) {
        reply(
                peer,
                HEADER + TransferResultEncoder.BLOCK_LENGTH,
                stream -> result.wrapAndApplyHeader(stream.buffer(), stream.offset(), headerOut)
                        .leaseId(id.id())
                        .epoch(id.epoch())
                        .senderId(senderId)
                        .bytes(stats.bytes())
                        .blocks(stats.blocks())
                        .checksumFailures(stats.checksumFailures())
                        .outcome(outcome));
    }

    private void reply(Peer peer, int length, Consumer<Channels.Outbound> writer) {
        if (replies.size() < maxReplies) {
            replies.add(new Reply(peer, length, writer, clock.getAsLong() + REPLY_PATIENCE_NANOS));
        }
    }

    private int sendReplies() {
        int sent = 0;
        for (int i = replies.size(); i > 0; i--) {
            Reply r = replies.poll();
            long position = r.peer().stream.tryClaim(r.length());
            if (position > 0) {
                r.writer().accept(r.peer().stream);
                r.peer().stream.commit();
                sent++;
            } else if (position == Channels.Outbound.CLOSED) {
                peers.values().remove(r.peer());
            } else if (clock.getAsLong() - r.giveUpNanos() < 0) {
                replies.add(r);
            }
        }
        return sent;
    }

    @Override
    public void onClose() {
        imports.closeAll();
        for (ReceiveLease lease : List.copyOf(open.values())) {
            fail(lease, TransferFailure.CLOSED);
        }
        sendReplies();
        peers.values().forEach(p -> p.stream.close());
        channels.close();
    }

    @Override
    public String roleName() {
        return "block-receiver";
    }

    /** Figures of a transfer that never began. */
    private static final class Nothing {
        static final TransferStats STATS = new TransferStats(0, 0, 0, 0);
    }
}
