package io.tandem.routing;

import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.apache.pekko.actor.Address;
import org.apache.pekko.actor.typed.ActorRef;
import org.apache.pekko.actor.typed.ActorRefResolver;
import org.apache.pekko.actor.typed.ActorSystem;
import org.apache.pekko.cluster.Member;
import org.apache.pekko.cluster.MemberStatus;
import org.apache.pekko.cluster.typed.Cluster;

/**
 * The {@link WorkerRegistry} of every node, found by its path: each node has one at the same place, so no directory service
 * stands between a worker's report and its readers.
 */
public final class Registries {
    /** Path of the registry under the guardian. */
    public static final String NAME = "registry";

    private static final Set<MemberStatus> HEARS =
            Set.of(MemberStatus.joining(), MemberStatus.weaklyUp(), MemberStatus.up(), MemberStatus.leaving());

    private final ActorSystem<?> system;
    private final Cluster cluster;
    private final String selfNode;

    public Registries(ActorSystem<?> system) {
        this.system = system;
        cluster = Cluster.get(system);
        selfNode = node(cluster.selfMember().address());
    }

    /** host:port of this node's control messages. */
    public String selfNode() {
        return selfNode;
    }

    /** host:port of an address. */
    public static String node(Address address) {
        return address.getHost().orElse("local") + ":"
                + address.getPort().map(String::valueOf).orElse("0");
    }

    /** Sends to the registries of all members, those that join included; a lost message is made good by the next report. */
    public void tellAll(RegistryMessage message) {
        for (ActorRef<RegistryMessage> registry : all()) {
            registry.tell(message);
        }
    }

    private List<ActorRef<RegistryMessage>> all() {
        ActorRefResolver resolver = ActorRefResolver.get(system);
        List<ActorRef<RegistryMessage>> registries = new ArrayList<>();
        for (Member member : cluster.state().getMembers()) {
            if (HEARS.contains(member.status())) {
                registries.add(resolver.resolveActorRef(member.address() + "/user/" + NAME));
            }
        }
        return registries;
    }
}
