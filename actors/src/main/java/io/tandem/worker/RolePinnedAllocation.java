package io.tandem.worker;

import java.util.HashSet;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.apache.pekko.actor.ActorRef;
import org.apache.pekko.actor.Address;
import org.apache.pekko.cluster.Cluster;
import org.apache.pekko.cluster.Member;
import org.apache.pekko.cluster.MemberStatus;
import org.apache.pekko.cluster.sharding.ShardCoordinator;
import scala.collection.immutable.IndexedSeq;
import scala.concurrent.Future;
import scala.concurrent.Future$;
import scala.jdk.javaapi.CollectionConverters;

/**
 * Puts a worker's shard on the node whose cluster roles name its GPU and nowhere else. While that node is away the
 * shard has no place and whoever wants it asks again; nothing starts on a node without the device.
 */
final class RolePinnedAllocation extends ShardCoordinator.AbstractShardAllocationStrategy {
    static final String GPU_ROLE_PREFIX = "gpu-";

    private final Cluster cluster;

    RolePinnedAllocation(Cluster cluster) {
        this.cluster = cluster;
    }

    static String gpuRole(String gpuId) {
        return GPU_ROLE_PREFIX + gpuId;
    }

    @Override
    public Future<ActorRef> allocateShard(
            ActorRef requester, String shardId, Map<ActorRef, IndexedSeq<String>> current) {
        Optional<Address> owner = owner(shardId);
        for (ActorRef region : current.keySet()) {
            if (owner.isPresent() && owner.get().equals(address(region))) {
                return Future$.MODULE$.successful(region);
            }
        }
        // No region of the coordinator's: it lets the shard be, where a failure would be an error in its log at every
        // stop of a node.
        return Future$.MODULE$.successful(cluster.system().deadLetters());
    }

    @Override
    public Future<Set<String>> rebalance(Map<ActorRef, IndexedSeq<String>> current, Set<String> inProgress) {
        Set<String> misplaced = new HashSet<>();
        current.forEach((region, shards) -> {
            for (String shard : CollectionConverters.asJava(shards)) {
                Optional<Address> owner = owner(shard);
                if (owner.isPresent() && !owner.get().equals(address(region)) && !inProgress.contains(shard)) {
                    misplaced.add(shard);
                }
            }
        });
        return Future$.MODULE$.successful(misplaced);
    }

    /** Of two that name the same GPU the older one: a node that joins by mistake takes nothing away. */
    private Optional<Address> owner(String gpuId) {
        var state = cluster.state();
        Member owner = null;
        for (Member member : state.getMembers()) {
            boolean owns = member.status().equals(MemberStatus.up())
                    && member.hasRole(gpuRole(gpuId))
                    && !state.getUnreachable().contains(member);
            if (owns && (owner == null || member.isOlderThan(owner))) {
                owner = member;
            }
        }
        return Optional.ofNullable(owner).map(Member::address);
    }

    /** A local region's path has no host. */
    private Address address(ActorRef region) {
        Address address = region.path().address();
        return address.hasLocalScope() ? cluster.selfAddress() : address;
    }
}
