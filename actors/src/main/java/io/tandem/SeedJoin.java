package io.tandem;

import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.time.Duration;
import java.util.List;
import org.apache.pekko.actor.Address;
import org.apache.pekko.actor.AddressFromURIString;
import org.apache.pekko.actor.typed.ActorSystem;
import org.apache.pekko.cluster.MemberStatus;
import org.apache.pekko.cluster.typed.Cluster;
import org.apache.pekko.cluster.typed.Join;
import org.apache.pekko.cluster.typed.JoinSeedNodes;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Founds a cluster, or joins one by its seeds. Nodes that are started together are not there together, and Pekko warns of each seed
 * that it asks in vain: so the first question waits, for a bounded time, until one of them listens.
 */
final class SeedJoin {
    private static final Logger LOG = LoggerFactory.getLogger(SeedJoin.class);
    private static final int CONNECT_MILLIS = 500;
    private static final Duration POLL = Duration.ofMillis(50);

    /** Pekko warns of the second answer that does not come within seed-node-timeout. */
    private static final Duration ASK_AGAIN = Duration.ofSeconds(1);

    private SeedJoin() {}

    /** Returns at once. */
    static void start(ActorSystem<?> system, NodeSettings node) {
        List<Address> seeds = node.seeds().stream()
                .map(seed -> AddressFromURIString.parse("pekko://" + node.clusterName() + "@" + seed))
                .toList();
        Cluster cluster = Cluster.get(system);
        Address self = cluster.selfMember().address();
        if (seeds.isEmpty()) {
            cluster.manager().tell(Join.create(self));
        } else if (seeds.getFirst().equals(self)) {
            // It asks the others, and founds a cluster when none answers: it waits for nobody.
            cluster.manager().tell(new JoinSeedNodes(seeds));
        } else {
            Thread.ofVirtual().name("seeds").start(() -> ask(cluster, seeds, node.seedWait(), system));
        }
    }

    /** A seed that listens may have no cluster yet: within the time given it is asked anew before that is worth a warning. */
    private static void ask(Cluster cluster, List<Address> seeds, Duration limit, ActorSystem<?> system) {
        long end = System.nanoTime() + limit.toNanos();
        Address self = cluster.selfMember().address();
        try {
            await(seeds.stream().filter(s -> !s.equals(self)).toList(), end, system);
            do {
                cluster.manager().tell(new JoinSeedNodes(seeds));
                Thread.sleep(ASK_AGAIN);
            } while (cluster.selfMember().status().equals(MemberStatus.removed()) && goesOn(end, system));
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } catch (IllegalStateException e) {
            LOG.debug("the node ended before it had joined", e);
        }
    }

    private static void await(List<Address> seeds, long end, ActorSystem<?> system) throws InterruptedException {
        boolean told = false;
        while (seeds.stream().noneMatch(SeedJoin::listens) && goesOn(end, system)) {
            if (!told) {
                LOG.info("none of the seeds {} listens yet; waiting for one", seeds);
                told = true;
            }
            Thread.sleep(POLL);
        }
    }

    private static boolean goesOn(long end, ActorSystem<?> system) {
        return System.nanoTime() - end < 0 && !system.whenTerminated().isCompleted();
    }

    private static boolean listens(Address seed) {
        try (Socket probe = new Socket()) {
            probe.connect(
                    new InetSocketAddress(
                            seed.getHost().orElse("localhost"), seed.getPort().orElse(0)),
                    CONNECT_MILLIS);
            return true;
        } catch (IOException e) {
            return false;
        }
    }
}
