package io.tandem.simulation.fault;

import io.tandem.request.RequestMessage;
import org.apache.pekko.actor.ActorPath;
import org.apache.pekko.actor.typed.ActorRef;

/** An actor's address without an actor system: what is told goes over the simulated network to one incarnation of a node. */
final class NodeRef implements ActorRef<RequestMessage> {
    private static final long serialVersionUID = 1;

    private final transient World world;
    private final transient ApiNode node;
    private final int incarnation;
    private final String name;

    NodeRef(World world, ApiNode node) {
        this.world = world;
        this.node = node;
        incarnation = node.incarnation();
        name = node.name() + "#" + incarnation;
    }

    ApiNode node() {
        return node;
    }

    int incarnation() {
        return incarnation;
    }

    @Override
    public void tell(RequestMessage message) {
        world.toHub(this, message);
    }

    @Override
    @SuppressWarnings("unchecked")
    public <U extends RequestMessage> ActorRef<U> narrow() {
        return (ActorRef<U>) (ActorRef<?>) this;
    }

    @Override
    @SuppressWarnings("unchecked")
    public <U> ActorRef<U> unsafeUpcast() {
        return (ActorRef<U>) (ActorRef<?>) this;
    }

    @Override
    public ActorPath path() {
        throw new UnsupportedOperationException("a simulated address has no path");
    }

    @Override
    public int compareTo(ActorRef<?> other) {
        return toString().compareTo(other.toString());
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof NodeRef ref && ref.name.equals(name);
    }

    @Override
    public int hashCode() {
        return name.hashCode();
    }

    @Override
    public String toString() {
        return name;
    }
}
