package io.tandem.transfer;

import io.tandem.transfer.wire.AbortTransferEncoder;
import io.tandem.transfer.wire.BlockChunkEncoder;
import io.tandem.transfer.wire.MessageHeaderDecoder;
import io.tandem.transfer.wire.MessageHeaderEncoder;
import io.tandem.transfer.wire.OfferBlockEncoder;
import io.tandem.transfer.wire.OpenTransferEncoder;
import io.tandem.transfer.wire.Outcome;
import io.tandem.transfer.wire.PoolAnswerDecoder;
import io.tandem.transfer.wire.TransferResultDecoder;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.function.LongSupplier;
import java.util.zip.CRC32C;
import org.agrona.DirectBuffer;
import org.agrona.concurrent.Agent;
import org.agrona.concurrent.ManyToOneConcurrentArrayQueue;
import org.agrona.concurrent.UnsafeBuffer;

/**
 * Sends blocks: claims room in the stream, copies a chunk straight from the block's memory, moves on. All transfers take
 * turns, a few chunks each, so a large one does not hold up a small one. One thread; allocates nothing per chunk.
 */
final class BlockSender implements Agent {
    private static final int HEADER = MessageHeaderEncoder.ENCODED_LENGTH;
    private static final int CHUNK_HEADER = HEADER + BlockChunkEncoder.BLOCK_LENGTH;
    private static final int CHUNKS_A_TURN = 16;
    private static final int POLL_LIMIT = 32;

    /** A receiver that was lost is waited for less, for so long. */
    private static final long LOST_NANOS = TimeUnit.MINUTES.toNanos(1);

    /** A stream to one receiver. */
    static final class Peer {
        final String key;
        final Channels.Outbound stream;
        int leases;
        long lastUsedNanos;

        /** With a receiver that is not connected. */
        long patienceNanos;

        Peer(String key, Channels.Outbound stream, long patienceNanos) {
            this.key = key;
            this.stream = stream;
            this.patienceNanos = patienceNanos;
        }
    }

    private final Channels channels;
    private final TransferEndpoint replyTo;
    private final int replyStreamId;
    private final int maxPeers;
    private final long connectTimeoutNanos;
    private final TransferLimits.LinkPatience linkPatience;
    private final long resultTimeoutNanos;
    private final LongSupplier clock;
    private final Counters counters;
    private final ConcurrentHashMap<LeaseId, SendLease> open;
    private final ManyToOneConcurrentArrayQueue<Runnable> commands;
    private final Map<String, Peer> peers = new HashMap<>();

    /** Receivers whose streams were given up, the latest last. */
    private final LinkedHashMap<String, Long> lostSince = new LinkedHashMap<>();

    private final List<SendLease> active = new ArrayList<>();
    private final UnsafeBuffer source = new UnsafeBuffer(0, 0);
    private final CRC32C crc = new CRC32C();
    private final MessageHeaderEncoder header = new MessageHeaderEncoder();
    private final OpenTransferEncoder openTransfer = new OpenTransferEncoder();
    private final BlockChunkEncoder chunk = new BlockChunkEncoder();
    private final AbortTransferEncoder abort = new AbortTransferEncoder();
    private final OfferBlockEncoder offerBlock = new OfferBlockEncoder();
    private final PoolAnswerDecoder answer = new PoolAnswerDecoder();
    private final PoolExports exports;
    private final MessageHeaderDecoder headerIn = new MessageHeaderDecoder();
    private final TransferResultDecoder result = new TransferResultDecoder();
    private final Channels.MessageHandler onReply = this::onReply;

    BlockSender(
            Channels channels,
            TransferEndpoint replyTo,
            int replyStreamId,
            TransferLimits limits,
            LongSupplier clock,
            Counters counters,
            ConcurrentHashMap<LeaseId, SendLease> open) {
        this.channels = channels;
        this.replyTo = replyTo;
        this.replyStreamId = replyStreamId;
        this.maxPeers = limits.maxPeers();
        this.connectTimeoutNanos = limits.connectTimeoutNanos();
        this.linkPatience = limits.link();
        this.resultTimeoutNanos = limits.resultTimeoutNanos();
        this.clock = clock;
        this.counters = counters;
        this.open = open;
        commands = new ManyToOneConcurrentArrayQueue<>(limits.queueEntries());
        exports = new PoolExports(
                replyTo.hostId(), replyTo, replyStreamId, limits.maxPeers() / 2, connectTimeoutNanos, clock);
    }

    /** Who may read this side's pool. */
    PoolExports exports() {
        return exports;
    }

    /** Queues a lease that is already in {@link #open}; false when the queue is full. */
    boolean offer(SendLease lease) {
        return commands.offer(() -> begin(lease));
    }

    @Override
    public int doWork() {
        int work = channels.doWork() + commands.drain(Runnable::run, POLL_LIMIT);
        work += channels.inbound().poll(onReply, POLL_LIMIT);
        long now = clock.getAsLong();
        work += exports.doWork(this, now);
        if (!active.isEmpty()) {
            for (int i = active.size() - 1; i >= 0; i--) {
                if (i < active.size()) {
                    work += turn(active.get(i), now);
                }
            }
        }
        return work;
    }

    private void begin(SendLease lease) {
        if (open.get(lease.id) != lease) {
            return;
        }
        if (lease.blocks == 0) {
            acknowledge(lease);
            return;
        }
        active.add(lease);
        lease.disconnectedSinceNanos = clock.getAsLong();
        lease.peer = peer(lease.to);
        if (lease.peer == null) {
            fail(lease, TransferFailure.NOT_CONNECTED, 0);
        } else {
            lease.peer.leases++;
        }
    }

    Peer peer(TransferEndpoint to) {
        String channel = to.channels().getFirst();
        String key = to.wire() + " " + channel + " " + to.streamId();
        Peer known = peers.get(key);
        if (known != null) {
            return known;
        }
        if (peers.size() >= maxPeers && !closeIdlest()) {
            return null;
        }
        Channels.Outbound stream = channels.connect(to.wire(), channel, to.streamId());
        if (stream == null) {
            return null;
        }
        Peer peer = new Peer(key, stream, isLost(key) ? linkPatience.wholeNanos() : connectTimeoutNanos);
        peers.put(key, peer);
        return peer;
    }

    private boolean closeIdlest() {
        Peer idlest = null;
        for (Peer p : peers.values()) {
            if (p.leases == 0 && (idlest == null || p.lastUsedNanos < idlest.lastUsedNanos)) {
                idlest = p;
            }
        }
        if (idlest == null) {
            return false;
        }
        peers.remove(idlest.key);
        idlest.stream.close();
        return true;
    }

    /** One lease's share of a duty cycle. */
    private int turn(SendLease lease, long now) {
        Channels.Outbound stream = lease.peer.stream;
        if (stream.isConnected()) {
            lease.disconnectedSinceNanos = 0;
            lease.peer.patienceNanos = linkPatience.senderNanos();
            if (!lostSince.isEmpty()) {
                lostSince.remove(lease.peer.key);
            }
        } else if (lease.disconnectedSinceNanos == 0) {
            lease.disconnectedSinceNanos = now;
        } else if (now - lease.disconnectedSinceNanos > patienceNanos(lease)) {
            dropPeer(lease.peer);
            fail(lease, TransferFailure.NOT_CONNECTED, 0);
            return 1;
        }
        if (lease.ending != null) {
            if (now - lease.endingSinceNanos > resultTimeoutNanos) {
                fail(lease, lease.ending, 0);
            }
            return 0;
        }
        if (now - lease.deadlineNanos >= 0) {
            endEarly(lease, TransferFailure.DEADLINE, !lease.opened, now);
            return 1;
        }
        if (lease.aborting) {
            // A receiver that was told nothing, or cannot be told now, frees by its own deadline.
            boolean untold = !lease.opened || lease.disconnectedSinceNanos != 0 && lease.link == null;
            endEarly(lease, TransferFailure.ABORTED_BY_SENDER, untold, now);
            return 1;
        }
        if (lease.disconnectedSinceNanos != 0) {
            return 0;
        }
        if (!lease.opened && !sendOpen(lease)) {
            return 0;
        }
        int chunks = 0;
        while (chunks < CHUNKS_A_TURN && sendChunk(lease, now)) {
            chunks++;
        }
        if (lease.blocksSent == lease.blocks) {
            awaitResult(lease, now);
        }
        return chunks;
    }

    /** Tells the receiver. One that fetches may be at it still: the lease ends when it has answered, or is gone. */
    private void endEarly(SendLease lease, TransferFailure failure, boolean untold, long now) {
        int told = untold ? -1 : sendAbort(lease);
        if (told > 0 && lease.link != null) {
            lease.ending = failure;
            lease.endingSinceNanos = now;
        } else if (told != 0) {
            fail(lease, failure, 0);
        }
    }

    /** A stream that broke and came back may have lost the end of a transfer, or its answer: neither side would ever know. */
    private void awaitResult(SendLease lease, long now) {
        if (lease.allSentNanos == 0) {
            lease.allSentNanos = now;
        } else if (now - lease.allSentNanos > resultTimeoutNanos && sendAbort(lease) != 0) {
            fail(lease, TransferFailure.NO_ANSWER, 0);
        }
    }

    /** What a receiver fetches from this device may still be read while nothing is heard of it: that is not given up soon. */
    private long patienceNanos(SendLease lease) {
        return lease.link == null ? lease.peer.patienceNanos : connectTimeoutNanos;
    }

    private boolean isLost(String key) {
        Long since = lostSince.get(key);
        return since != null && clock.getAsLong() - since < LOST_NANOS;
    }

    /** A stream whose receiver is gone is never used again: a receiver that comes back gets a new one. */
    private void dropPeer(Peer peer) {
        if (peers.remove(peer.key, peer)) {
            lostSince.remove(peer.key);
            lostSince.put(peer.key, clock.getAsLong());
            if (lostSince.size() > maxPeers) {
                lostSince.pollFirstEntry();
            }
            peer.stream.close();
        }
    }

    private boolean claimed(SendLease lease, int length) {
        long position = lease.peer.stream.tryClaim(length);
        if (position > 0) {
            return true;
        }
        if (position == Channels.Outbound.CLOSED) {
            dropPeer(lease.peer);
            fail(lease, TransferFailure.NOT_CONNECTED, 0);
        } else {
            counters.backPressured.lazySet(counters.backPressured.get() + 1);
        }
        return false;
    }

    private boolean sendOpen(SendLease lease) {
        String channel = replyTo.channels().getFirst();
        int length = HEADER
                + OpenTransferEncoder.BLOCK_LENGTH
                + OpenTransferEncoder.replyWireHeaderLength()
                + replyTo.wire().length()
                + OpenTransferEncoder.replyChannelHeaderLength()
                + channel.length();
        if (!claimed(lease, length)) {
            return false;
        }
        Channels.Outbound stream = lease.peer.stream;
        openTransfer
                .wrapAndApplyHeader(stream.buffer(), stream.offset(), header)
                .leaseId(lease.id.id())
                .epoch(lease.id.epoch())
                .senderId(lease.senderId)
                .blocks(lease.blocks)
                .replyStreamId(replyStreamId)
                .link(lease.link == null ? 0 : lease.link.id)
                .replyWire(replyTo.wire())
                .replyChannel(channel);
        stream.commit();
        lease.opened = true;
        return true;
    }

    /** Answers 0 for "not now". */
    private int sendAbort(SendLease lease) {
        Channels.Outbound stream = lease.peer.stream;
        long position = stream.tryClaim(HEADER + AbortTransferEncoder.BLOCK_LENGTH);
        if (position > 0) {
            abort.wrapAndApplyHeader(stream.buffer(), stream.offset(), header)
                    .leaseId(lease.id.id())
                    .epoch(lease.id.epoch());
            stream.commit();
            return 1;
        }
        return position == Channels.Outbound.CLOSED || clock.getAsLong() - lease.deadlineNanos > 0 ? -1 : 0;
    }

    private boolean sendChunk(SendLease lease, long now) {
        if (lease.current == null) {
            lease.current = lease.queue.poll();
            if (lease.current == null) {
                lease.starves(now);
                return false;
            }
            lease.goesOn(now);
            lease.sentOfCurrent = lease.current.from();
        }
        SendLease.Block block = lease.current;
        if (lease.link != null) {
            return sendOffer(lease, block, now);
        }
        long size = block.memory().byteSize();
        int bytes = (int) Math.min(block.end() - lease.sentOfCurrent, lease.peer.stream.maxPayload() - CHUNK_HEADER);
        if (!claimed(lease, CHUNK_HEADER + bytes)) {
            return false;
        }
        lease.firstByteNanos = lease.firstByteNanos == 0 ? now : lease.firstByteNanos;
        int from = (int) lease.sentOfCurrent;
        crc.reset();
        crc.update(block.view().limit(from + bytes).position(from));
        source.wrap(block.memory().address() + from, bytes);
        Channels.Outbound stream = lease.peer.stream;
        chunk.wrapAndApplyHeader(stream.buffer(), stream.offset(), header)
                .leaseId(lease.id.id())
                .epoch(lease.id.epoch())
                .slot(block.slot())
                .chunkBytes(bytes)
                .blockBytes(size)
                .blockOffset(from)
                .crc32c(crc.getValue())
                .waitedMicros(lease.untoldWaitMicros());
        stream.buffer().putBytes(stream.offset() + CHUNK_HEADER, source, 0, bytes);
        stream.commit();
        lease.untoldWaitNanos = 0;
        lease.sentOfCurrent += bytes;
        lease.bytesSent += bytes;
        counters.bytesSent.lazySet(counters.bytesSent.get() + bytes);
        if (lease.sentOfCurrent == block.end()) {
            lease.current = null;
        }
        if (lease.sentOfCurrent == size) {
            lease.blocksSent++;
            Listeners.tell(() -> lease.listener.onBlockSent(lease.id, block.slot()));
            counters.blocksSent.lazySet(counters.blocksSent.get() + 1);
        }
        return true;
    }

    private boolean sendOffer(SendLease lease, SendLease.Block block, long now) {
        if (!claimed(lease, HEADER + OfferBlockEncoder.BLOCK_LENGTH)) {
            return false;
        }
        Channels.Outbound stream = lease.peer.stream;
        offerBlock
                .wrapAndApplyHeader(stream.buffer(), stream.offset(), header)
                .leaseId(lease.id.id())
                .epoch(lease.id.epoch())
                .link(lease.link.id)
                .sum(block.sum())
                .blockBytes(block.end())
                .slot(block.slot())
                .block(block.poolBlock());
        stream.commit();
        lease.firstByteNanos = lease.firstByteNanos == 0 ? now : lease.firstByteNanos;
        lease.current = null;
        lease.blocksSent++;
        lease.bytesSent += block.end();
        counters.directBlocksSent.lazySet(counters.directBlocksSent.get() + 1);
        return true;
    }

    private void onReply(DirectBuffer buffer, int offset, int length) {
        headerIn.wrap(buffer, offset);
        if (headerIn.templateId() == PoolAnswerDecoder.TEMPLATE_ID
                && headerIn.schemaId() == PoolAnswerDecoder.SCHEMA_ID
                && length >= HEADER + PoolAnswerDecoder.BLOCK_LENGTH) {
            exports.answered(answer.wrapAndApplyHeader(buffer, offset, headerIn));
            return;
        }
        if (length < HEADER + TransferResultDecoder.BLOCK_LENGTH
                || headerIn.templateId() != TransferResultDecoder.TEMPLATE_ID
                || headerIn.schemaId() != TransferResultDecoder.SCHEMA_ID) {
            return;
        }
        result.wrapAndApplyHeader(buffer, offset, headerIn);
        SendLease lease = open.get(new LeaseId(result.leaseId(), result.epoch()));
        if (lease == null || lease.senderId != result.senderId()) {
            return;
        }
        Outcome outcome = result.outcome();
        if (lease.ending != null) {
            fail(lease, lease.ending, 0);
        } else if (outcome == Outcome.COMPLETE) {
            if (lease.blocksSent == lease.blocks && result.bytes() == lease.bytesSent) {
                acknowledge(lease);
            } else {
                fail(lease, TransferFailure.PROTOCOL_ERROR, 0);
            }
        } else {
            if (outcome == Outcome.NO_DIRECT_PATH && lease.link != null) {
                exports.unknownThere(lease.link);
            }
            fail(lease, Outcomes.failure(outcome), result.checksumFailures());
        }
    }

    private void acknowledge(SendLease lease) {
        if (close(lease)) {
            TransferStats stats = lease.stats(clock.getAsLong(), 0);
            Listeners.tell(() -> lease.listener.onAcknowledged(lease.id, stats));
        }
    }

    private void fail(SendLease lease, TransferFailure failure, int checksumFailures) {
        if (close(lease)) {
            counters.leasesFailed.incrementAndGet();
            TransferStats stats = lease.stats(clock.getAsLong(), checksumFailures);
            Listeners.tell(() -> lease.listener.onFailed(lease.id, failure, stats));
        }
    }

    private boolean close(SendLease lease) {
        if (!open.remove(lease.id, lease)) {
            return false;
        }
        active.remove(lease);
        if (lease.peer != null) {
            lease.peer.leases--;
            lease.peer.lastUsedNanos = clock.getAsLong();
        }
        return true;
    }

    @Override
    public void onClose() {
        for (SendLease lease : List.copyOf(open.values())) {
            fail(lease, TransferFailure.CLOSED, 0);
        }
        peers.values().forEach(p -> p.stream.close());
        channels.close();
    }

    @Override
    public String roleName() {
        return "block-sender";
    }
}
