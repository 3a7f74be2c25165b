package io.tandem.simulation.fault;

import java.util.function.Consumer;
import org.apache.pekko.actor.ActorPath;
import org.apache.pekko.actor.typed.ActorRef;

/** An actor's address without an actor system: what is told goes over the simulated network to one incarnation of a node. */
final class NodeRef<M> implements ActorRef<M> {
    private static final long serialVersionUID = 1;

    private final transient World world;
    private final transient SimulatedNode node;
    private final transient Consumer<M> receiver;
    private final int incarnation;
    private final String name;

    /**
     * @param what of the node it is
     * @param receiver takes what arrives, on the node
     */
    NodeRef(World world, SimulatedNode node, String what, Consumer<M> receiver) {
        this.world = world;
        this.node = node;
        this.receiver = receiver;
        incarnation = node.incarnation();
        name = node.name() + "#" + incarnation + "/" + what;
    }

    SimulatedNode node() {
        return node;
    }

    int incarnation() {
        return incarnation;
    }

    void deliver(M message) {
        receiver.accept(message);
    }

    @Override
    public void tell(M message) {
        world.tell(this, message);
    }

    @Override
    @SuppressWarnings("unchecked")
    public <U extends M> ActorRef<U> narrow() {
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
        return other instanceof NodeRef<?> ref && ref.name.equals(name);
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
