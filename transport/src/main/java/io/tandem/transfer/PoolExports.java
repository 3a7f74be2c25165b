package io.tandem.transfer;

import io.tandem.transfer.wire.ClosePoolEncoder;
import io.tandem.transfer.wire.MessageHeaderEncoder;
import io.tandem.transfer.wire.OfferPoolEncoder;
import io.tandem.transfer.wire.PoolAnswerDecoder;
import io.tandem.transfer.wire.PoolState;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.function.LongSupplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The peers that read, or might read, this side's pool. A peer is offered the pool when the first blocks go there, which still
 * take the stream; once it has said that it has the pool open, blocks are offered to it one by one. The pool may be freed when
 * every peer that had it open has said that it closed it. Asked by any thread, driven by the sending agent.
 */
final class PoolExports {
    private static final Logger LOG = LoggerFactory.getLogger(PoolExports.class);
    private static final int HEADER = MessageHeaderEncoder.ENCODED_LENGTH;
    private static final long RETRY_NANOS = TimeUnit.SECONDS.toNanos(30);

    enum State {
        NEW,
        OFFERED,
        OPEN,
        REFUSED,
        CLOSING,
        CLOSED
    }

    /** One peer. */
    static final class Link {
        final long id = ThreadLocalRandom.current().nextLong(1, Long.MAX_VALUE);
        final TransferEndpoint to;
        volatile State state = State.NEW;
        volatile String reason = "the direct path is being opened";
        BlockSender.Peer peer;
        long sinceNanos;
        long disconnectedSinceNanos;
        /** The peer may have the pool open: it was offered, and has not said that it is closed. */
        volatile boolean held;

        boolean closeSent;

        Link(TransferEndpoint to) {
            this.to = to;
        }

        private void become(State next, String why, long nowNanos) {
            state = next;
            reason = why;
            sinceNanos = nowNanos;
        }
    }

    private record Own(DirectPath path, long epoch) {}

    private final String hostId;
    private final TransferEndpoint replyTo;
    private final int replyStreamId;
    private final int maxLinks;
    private final long connectTimeoutNanos;
    private final LongSupplier clock;
    private final Map<String, Link> links = new ConcurrentHashMap<>();
    private final OfferPoolEncoder offer = new OfferPoolEncoder();
    private final ClosePoolEncoder close = new ClosePoolEncoder();
    private final MessageHeaderEncoder header = new MessageHeaderEncoder();
    private volatile Own own;
    private volatile boolean closing;
    /** A peer went without a word; whether it reads still, nobody can tell. */
    private volatile boolean neverClosed;

    PoolExports(
            String hostId,
            TransferEndpoint replyTo,
            int replyStreamId,
            int maxLinks,
            long connectTimeoutNanos,
            LongSupplier clock) {
        this.hostId = hostId;
        this.replyTo = replyTo;
        this.replyStreamId = replyStreamId;
        this.maxLinks = maxLinks;
        this.connectTimeoutNanos = connectTimeoutNanos;
        this.clock = clock;
    }

    void enable(DirectPath path, long epoch) {
        if (path.ticket().length > DirectPath.MAX_TICKET_BYTES) {
            throw new IllegalArgumentException("a ticket has " + DirectPath.MAX_TICKET_BYTES + " bytes at most");
        }
        own = new Own(path, epoch);
    }

    /** The open way to a receiver, or null; the first question begins to open one. */
    Link open(TransferEndpoint to) {
        if (!unfit(to).isEmpty()) {
            return null;
        }
        String key = key(to);
        Link link = links.get(key);
        if (link == null && links.size() < maxLinks && !closing) {
            link = links.computeIfAbsent(key, k -> new Link(to));
        }
        return link != null && link.state == State.OPEN ? link : null;
    }

    /** Why blocks to a receiver take the stream; empty when they do not. */
    String refusal(TransferEndpoint to) {
        String unfit = unfit(to);
        if (!unfit.isEmpty()) {
            return unfit;
        }
        Link link = links.get(key(to));
        if (link == null) {
            return links.size() < maxLinks
                    ? "nothing was sent there yet"
                    : maxLinks + " peers have the pool open already";
        }
        return link.state == State.OPEN ? "" : link.reason;
    }

    private String unfit(TransferEndpoint to) {
        Own o = own;
        if (o == null) {
            return "this worker has no direct path";
        }
        if (to.direct().isEmpty()) {
            return "the receiver has no direct path";
        }
        if (!to.direct().equals(o.path().name())) {
            return "the receiver's direct path is " + to.direct() + ", not "
                    + o.path().name();
        }
        return to.hostId().equals(hostId) ? "" : "the receiver is on another host";
    }

    private static String key(TransferEndpoint to) {
        return to.wire() + " " + to.channels().getFirst() + " " + to.streamId();
    }

    /** Peers by what stands between them and the direct path; for people. */
    List<String> describe() {
        List<String> lines = new ArrayList<>();
        links.values()
                .forEach(l -> lines.add(l.to.channels().getFirst() + ": "
                        + (l.state == State.OPEN ? "direct" : "stream, " + l.reason)));
        return lines;
    }

    // ---- the agent's side

    int doWork(BlockSender sender, long nowNanos) {
        int work = 0;
        for (Link link : links.values()) {
            work += turn(link, sender, nowNanos);
        }
        return work;
    }

    private int turn(Link link, BlockSender sender, long nowNanos) {
        if (gone(link, nowNanos)) {
            drop(link, link.state == State.OPEN ? "the receiver is gone" : "the receiver cannot be reached", nowNanos);
            return 1;
        }
        if (closing && link.held) {
            return link.closeSent || !sendClose(link) ? 0 : 1;
        }
        return switch (link.state) {
            case NEW -> closing ? 0 : begin(link, sender, nowNanos);
            case OFFERED -> {
                if (nowNanos - link.sinceNanos > connectTimeoutNanos) {
                    link.become(State.REFUSED, "the receiver does not answer", nowNanos);
                }
                yield 0;
            }
            case REFUSED -> {
                if (nowNanos - link.sinceNanos > RETRY_NANOS && !link.held) {
                    drop(link, link.reason, nowNanos);
                }
                yield 0;
            }
            case OPEN, CLOSING, CLOSED -> 0;
        };
    }

    private int begin(Link link, BlockSender sender, long nowNanos) {
        if (link.peer == null) {
            link.sinceNanos = nowNanos;
            link.peer = sender.peer(link.to);
            if (link.peer == null) {
                link.become(State.REFUSED, "too many peers", nowNanos);
                return 1;
            }
            link.peer.leases++;
        }
        if (!link.peer.stream.isConnected() || !sendOffer(link)) {
            return 0;
        }
        link.held = true;
        link.become(State.OFFERED, "the direct path is being opened", nowNanos);
        return 1;
    }

    private boolean gone(Link link, long nowNanos) {
        if (link.peer == null || link.peer.stream.isConnected()) {
            link.disconnectedSinceNanos = 0;
            return false;
        }
        if (link.disconnectedSinceNanos == 0) {
            link.disconnectedSinceNanos = nowNanos;
        }
        return nowNanos - link.disconnectedSinceNanos > connectTimeoutNanos;
    }

    /** The next blocks for that receiver begin anew. Each lease on the link may be the one that finds it gone. */
    private void drop(Link link, String why, long nowNanos) {
        if (!links.remove(key(link.to), link)) {
            return;
        }
        if (link.state == State.OPEN) {
            LOG.info("KV blocks to {} take the stream: {}", link.to.channels().getFirst(), why);
        }
        link.become(State.CLOSED, why, nowNanos);
        if (link.peer != null) {
            link.peer.leases--;
        }
        if (link.held) {
            neverClosed = true;
        }
    }

    private boolean sendOffer(Link link) {
        Own o = own;
        String channel = replyTo.channels().getFirst();
        byte[] ticket = o.path().ticket();
        String name = o.path().name();
        int length = HEADER
                + OfferPoolEncoder.BLOCK_LENGTH
                + OfferPoolEncoder.pathHeaderLength()
                + name.length()
                + OfferPoolEncoder.replyWireHeaderLength()
                + replyTo.wire().length()
                + OfferPoolEncoder.replyChannelHeaderLength()
                + channel.length()
                + OfferPoolEncoder.ticketHeaderLength()
                + ticket.length;
        Channels.Outbound stream = link.peer.stream;
        if (stream.tryClaim(length) <= 0) {
            return false;
        }
        offer.wrapAndApplyHeader(stream.buffer(), stream.offset(), header)
                .link(link.id)
                .epoch(o.epoch())
                .replyStreamId(replyStreamId)
                .path(name)
                .replyWire(replyTo.wire())
                .replyChannel(channel)
                .putTicket(ticket, 0, ticket.length);
        stream.commit();
        return true;
    }

    private boolean sendClose(Link link) {
        Channels.Outbound stream = link.peer.stream;
        if (stream.tryClaim(HEADER + ClosePoolEncoder.BLOCK_LENGTH) <= 0) {
            return false;
        }
        close.wrapAndApplyHeader(stream.buffer(), stream.offset(), header).link(link.id);
        stream.commit();
        link.closeSent = true;
        link.become(State.CLOSING, "the worker stops", clock.getAsLong());
        return true;
    }

    void answered(PoolAnswerDecoder answer) {
        long id = answer.link();
        PoolState state = answer.state();
        String reason = answer.reason();
        for (Link link : links.values()) {
            if (link.id == id) {
                answered(link, state, reason);
            }
        }
    }

    private void answered(Link link, PoolState state, String reason) {
        long now = clock.getAsLong();
        String name = link.to.channels().getFirst();
        switch (state) {
            case OPEN -> {
                if (link.state == State.OFFERED || link.state == State.REFUSED && link.held) {
                    link.become(State.OPEN, "", now);
                    LOG.info("KV blocks to {} go by {}", name, link.to.direct());
                }
            }
            case REFUSED -> {
                link.held = false;
                link.become(State.REFUSED, reason, now);
                LOG.info("KV blocks to {} take the stream: {}", name, reason);
            }
            case CLOSED -> {
                link.held = false;
                link.become(State.CLOSED, "closed by the receiver", now);
                links.remove(key(link.to), link);
                link.peer.leases--;
            }
            case NULL_VAL -> {
                // A later version's word.
            }
        }
    }

    /** The receiver knows nothing of the link: it is not the one that opened it. */
    void unknownThere(Link link) {
        link.held = false;
        drop(link, "the receiver does not know the link", clock.getAsLong());
    }

    /** Has every peer told to close the pool; {@link #freed} says when they have. */
    void beginClose() {
        closing = true;
    }

    /** Whether no peer has the pool open. */
    boolean freed() {
        return !neverClosed && links.values().stream().noneMatch(l -> l.held);
    }

    /** Whether waiting may change {@link #freed}. */
    boolean awaited() {
        return links.values().stream().anyMatch(l -> l.held);
    }
}
