package io.tandem.transfer;

import io.tandem.transfer.wire.PoolState;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The pools of peers that this side reads, each under the link that its owner named: opened when it is offered, closed when its
 * owner says so, comes back as another incarnation, or is gone. Belongs to the receiving agent, but for {@link #enable}.
 */
final class PoolImports {
    private static final Logger LOG = LoggerFactory.getLogger(PoolImports.class);
    private static final long SCAN_NANOS = TimeUnit.MILLISECONDS.toNanos(100);
    private static final long CLOSE_GUARD_NANOS = TimeUnit.SECONDS.toNanos(5);

    enum State {
        OPENING,
        OPEN,
        CLOSING
    }

    /** A peer's pool. */
    static final class Link {
        final long id;
        final long epoch;
        final BlockReceiver.Peer peer;
        State state = State.OPENING;
        long disconnectedSinceNanos;

        Link(long id, long epoch, BlockReceiver.Peer peer) {
            this.id = id;
            this.epoch = epoch;
            this.peer = peer;
        }
    }

    /** The agent's part. */
    interface Agent {
        void answer(BlockReceiver.Peer peer, long link, PoolState state, String reason);

        void fetched(
                ReceiveLease lease, int[] slots, long[] expectedSums, long[] sums, long blockBytes, String failure);
    }

    private static final class Fetch {
        final ReceiveLease lease;
        final long blockBytes;
        final List<int[]> blocks = new ArrayList<>();
        final List<Long> sums = new ArrayList<>();

        Fetch(ReceiveLease lease, long blockBytes) {
            this.lease = lease;
            this.blockBytes = blockBytes;
        }
    }

    private final Agent agent;
    private final int maxLinks;
    private final long connectTimeoutNanos;
    private final Map<Long, Link> links = new HashMap<>();
    private final Map<ReceiveLease, Fetch> wanted = new HashMap<>();
    /** What the path has to say; bounded by the fetches and the links there are. */
    private final ConcurrentLinkedQueue<Runnable> said = new ConcurrentLinkedQueue<>();

    private volatile DirectPath path;
    private volatile Runnable wakeAgent = () -> {};
    private int fetching;
    private long lastScanNanos;

    PoolImports(Agent agent, int maxLinks, long connectTimeoutNanos) {
        this.agent = agent;
        this.maxLinks = maxLinks;
        this.connectTimeoutNanos = connectTimeoutNanos;
    }

    /** How to have the agent hear of what the path says. */
    void wakeBy(Runnable wakes) {
        wakeAgent = wakes;
    }

    private void say(Runnable word) {
        said.add(word);
        wakeAgent.run();
    }

    void enable(DirectPath direct) {
        path = direct;
    }

    boolean enabled() {
        return path != null;
    }

    /** A peer offers its pool. */
    void offered(BlockReceiver.Peer peer, long id, long epoch, String pathName, byte[] ticket) {
        Link known = links.get(id);
        if (known != null) {
            if (known.state == State.OPEN) {
                agent.answer(peer, id, PoolState.OPEN, "");
            }
            return;
        }
        // The same stream with another incarnation behind it: what the one before offered is gone.
        links.values().stream()
                .filter(l -> l.peer == peer && l.epoch != epoch)
                .toList()
                .forEach(this::close);
        String refusal = refusal(pathName);
        if (!refusal.isEmpty()) {
            agent.answer(peer, id, PoolState.REFUSED, refusal);
            return;
        }
        Link link = new Link(id, epoch, peer);
        links.put(id, link);
        peer.links++;
        path.open(id, ticket, failure -> say(() -> opened(link, failure)));
    }

    private String refusal(String pathName) {
        DirectPath own = path;
        if (own == null) {
            return "the receiver has no direct path";
        }
        if (!own.name().equals(pathName)) {
            return "the receiver's direct path is " + own.name() + ", not " + pathName;
        }
        return links.size() < maxLinks ? "" : "the receiver has " + maxLinks + " pools open already";
    }

    private void opened(Link link, String failure) {
        if (!failure.isEmpty()) {
            forget(link);
            LOG.info("no direct path to a peer's KV blocks: {}", failure);
            agent.answer(link.peer, link.id, PoolState.REFUSED, failure);
        } else if (link.state == State.OPENING) {
            link.state = State.OPEN;
            LOG.info("KV blocks of a peer are read by {} from now on, link {}", path.name(), link.id);
            agent.answer(link.peer, link.id, PoolState.OPEN, "");
        }
    }

    /** The owner is about to free its pool. */
    void closeAsked(long id) {
        Link link = links.get(id);
        if (link != null) {
            close(link);
        }
    }

    private void close(Link link) {
        if (link.state != State.CLOSING) {
            link.state = State.CLOSING;
            flush();
            path.close(link.id, () -> say(() -> closed(link)));
        }
    }

    private void closed(Link link) {
        forget(link);
        agent.answer(link.peer, link.id, PoolState.CLOSED, "");
    }

    private void forget(Link link) {
        if (links.remove(link.id, link)) {
            link.peer.links--;
        }
    }

    /** The open pool under a link; null when there is none. */
    Link open(long id) {
        Link link = links.get(id);
        return link != null && link.state == State.OPEN ? link : null;
    }

    /** Fetches a block with the next {@link #flush}. */
    void want(ReceiveLease lease, int slot, int block, long blockBytes, long sum) {
        Fetch fetch = wanted.computeIfAbsent(lease, l -> new Fetch(l, blockBytes));
        fetch.blocks.add(new int[] {slot, block});
        fetch.sums.add(sum);
    }

    /** The lease is over: what it wanted is not asked for. */
    void forget(ReceiveLease lease) {
        wanted.remove(lease);
    }

    /** Asks for what is wanted, one fetch a lease. */
    void flush() {
        if (!wanted.isEmpty()) {
            wanted.values().forEach(this::start);
            wanted.clear();
        }
    }

    private void start(Fetch fetch) {
        ReceiveLease lease = fetch.lease;
        int[] slots = fetch.blocks.stream().mapToInt(b -> b[0]).toArray();
        int[] from = fetch.blocks.stream().mapToInt(b -> b[1]).toArray();
        int[] own = lease.target.poolBlocks();
        int[] to = new int[slots.length];
        for (int i = 0; i < to.length; i++) {
            to[i] = own[slots[i]];
        }
        long[] expected = fetch.sums.stream().mapToLong(Long::longValue).toArray();
        lease.fetching++;
        fetching++;
        path.fetch(
                lease.link.id,
                from,
                to,
                (sums, failure) -> say(() -> {
                    lease.fetching--;
                    fetching--;
                    agent.fetched(lease, slots, expected, sums, fetch.blockBytes, failure);
                }));
    }

    int doWork(long nowNanos) {
        int work = hear();
        flush();
        if (nowNanos - lastScanNanos > SCAN_NANOS) {
            lastScanNanos = nowNanos;
            List.copyOf(links.values()).forEach(l -> closeWhenGone(l, nowNanos));
        }
        return work;
    }

    private int hear() {
        int heard = 0;
        for (Runnable one = said.poll(); one != null; one = said.poll()) {
            one.run();
            heard++;
        }
        return heard;
    }

    /** A pool whose owner is gone would stay in the device's memory for as long as it is open here. */
    private void closeWhenGone(Link link, long nowNanos) {
        if (link.peer.stream.isConnected()) {
            link.disconnectedSinceNanos = 0;
        } else if (link.disconnectedSinceNanos == 0) {
            link.disconnectedSinceNanos = nowNanos;
        } else if (nowNanos - link.disconnectedSinceNanos > connectTimeoutNanos && link.state != State.CLOSING) {
            LOG.info("the owner of link {} is gone: its KV blocks are closed", link.id);
            close(link);
        }
    }

    /** Closes all, and waits until nothing is read or written any more. */
    void closeAll() {
        wanted.clear();
        List.copyOf(links.values()).forEach(this::close);
        long end = System.nanoTime() + CLOSE_GUARD_NANOS;
        while ((fetching > 0 || !links.isEmpty()) && System.nanoTime() - end < 0) {
            if (hear() == 0) {
                Thread.yield();
            }
        }
        if (fetching > 0 || !links.isEmpty()) {
            LOG.error("{} fetches and {} links do not end", fetching, links.size());
        }
    }
}
