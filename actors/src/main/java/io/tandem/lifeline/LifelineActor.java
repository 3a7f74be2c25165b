package io.tandem.lifeline;

import io.tandem.LifelineStatus;
import io.tandem.routing.Registries;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Predicate;
import org.apache.pekko.actor.typed.ActorRef;
import org.apache.pekko.actor.typed.Behavior;
import org.apache.pekko.actor.typed.javadsl.AbstractBehavior;
import org.apache.pekko.actor.typed.javadsl.ActorContext;
import org.apache.pekko.actor.typed.javadsl.Behaviors;
import org.apache.pekko.actor.typed.javadsl.Receive;
import org.apache.pekko.actor.typed.javadsl.TimerScheduler;
import org.apache.pekko.cluster.ClusterEvent;
import org.apache.pekko.cluster.Member;
import org.apache.pekko.cluster.MemberStatus;
import org.apache.pekko.cluster.UniqueAddress;
import org.apache.pekko.cluster.typed.Cluster;
import org.apache.pekko.cluster.typed.Subscribe;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Carries out what {@link Lifelines} decides for the members that this node is to watch, and tells what became of them. When it begins
 * anew after a failure, it connects to all of them again.
 */
public final class LifelineActor extends AbstractBehavior<LifelineActor.Message> {
    private static final Logger LOG = LoggerFactory.getLogger(LifelineActor.class);

    /** What it hears. */
    public sealed interface Message {}

    /** Who is watched may have changed. */
    public record LookAgain() implements Message {}

    private record Membership(ClusterEvent.MemberEvent event) implements Message {}

    private record Opened(long line, long processId, String address) implements Message {}

    private record Refused(long line) implements Message {}

    private record Failed(long line, String why) implements Message {}

    private record Closed(long line) implements Message {}

    private record Due(Lifelines.Peer peer) implements Message {}

    /** Who is to know; runs on the actor and must not block. */
    public interface Listener {
        /** The process of a node (host:port of its control messages) is dead. */
        void gone(String node, String why);

        /** It is not after all. */
        void back(String node);

        void status(LifelineStatus status);
    }

    private final LifelineSockets sockets;
    private final Predicate<Set<String>> watched;
    private final Listener listener;
    private final TimerScheduler<Message> timers;
    private final Lifelines lines;
    private final Map<UniqueAddress, Lifelines.Peer> peers = new HashMap<>();
    private final LifelineSockets.Events events;

    private LifelineActor(
            ActorContext<Message> context,
            TimerScheduler<Message> timers,
            LifelineSockets sockets,
            Lifelines lines,
            Predicate<Set<String>> watched,
            Listener listener) {
        super(context);
        this.timers = timers;
        this.sockets = sockets;
        this.watched = watched;
        this.listener = listener;
        this.lines = lines;
        events = new ToSelf(context.getSelf());
        Cluster.get(context.getSystem())
                .subscriptions()
                .tell(Subscribe.create(
                        context.messageAdapter(ClusterEvent.MemberEvent.class, Membership::new),
                        ClusterEvent.MemberEvent.class));
        run(lines.forgetAll());
    }

    /**
     * To be spawned once.
     *
     * @param watched whether a member with these cluster roles is to be watched by this node
     */
    public static Behavior<Message> create(
            LifelineSockets sockets, LifelineSettings settings, Predicate<Set<String>> watched, Listener listener) {
        Lifelines lines = new Lifelines(
                settings.maxConnections(), settings.retryInterval().toNanos());
        return Behaviors.setup(context ->
                Behaviors.withTimers(timers -> new LifelineActor(context, timers, sockets, lines, watched, listener)));
    }

    @Override
    public Receive<Message> createReceive() {
        return newReceiveBuilder()
                .onMessage(Membership.class, m -> onMember(m.event().member()))
                .onMessage(LookAgain.class, m -> onLookAgain())
                .onMessage(Opened.class, m -> run(lines.onOpened(m.line(), m.processId(), m.address())))
                .onMessage(Refused.class, m -> run(lines.onRefused(m.line())))
                .onMessage(Failed.class, m -> run(lines.onFailed(m.line(), m.why())))
                .onMessage(Closed.class, m -> run(lines.onClosed(m.line())))
                .onMessage(Due.class, m -> run(lines.onDue(m.peer())))
                .build();
    }

    private Behavior<Message> onLookAgain() {
        Cluster.get(getContext().getSystem()).state().getMembers().forEach(this::onMember);
        return this;
    }

    /** A member that leaves in order ends its process itself: that is no death. */
    private Behavior<Message> onMember(Member member) {
        MemberStatus status = member.status();
        boolean ends = status.equals(MemberStatus.exiting())
                || status.equals(MemberStatus.down())
                || status.equals(MemberStatus.removed());
        if (ends) {
            Lifelines.Peer peer = peers.remove(member.uniqueAddress());
            return peer == null ? this : run(lines.forget(peer));
        }
        boolean self = member.uniqueAddress()
                .equals(Cluster.get(getContext().getSystem()).selfMember().uniqueAddress());
        if (self || peers.containsKey(member.uniqueAddress()) || !watched.test(member.getRoles())) {
            return this;
        }
        String node = Registries.node(member.address());
        var role = LifelineRole.of(member.getRoles());
        if (role.isEmpty()) {
            LOG.info("no lifeline to {}: it has none; its death would be noticed by time-outs", node);
            return this;
        }
        Lifelines.Peer peer = new Lifelines.Peer(
                node,
                member.address().getHost().orElse("localhost"),
                role.get().port(),
                role.get().processId());
        peers.put(member.uniqueAddress(), peer);
        return run(lines.watch(peer));
    }

    private Behavior<Message> run(List<Lifelines.Effect> effects) {
        for (Lifelines.Effect effect : effects) {
            switch (effect) {
                case Lifelines.Effect.Connect e -> sockets.connect(e.line(), e.host(), e.port(), events);
                case Lifelines.Effect.Close e -> sockets.disconnect(e.line());
                case Lifelines.Effect.Later e ->
                    timers.startSingleTimer(e.peer(), new Due(e.peer()), Duration.ofNanos(e.nanos()));
                case Lifelines.Effect.Gone e -> {
                    LOG.warn("the process of node {} is gone: {}", e.peer().node(), e.why());
                    listener.gone(e.peer().node(), e.why());
                }
                case Lifelines.Effect.Back e -> {
                    LOG.warn("the process of node {} lives after all", e.peer().node());
                    listener.back(e.peer().node());
                }
                case Lifelines.Effect.Unwatched e ->
                    LOG.warn(
                            "no lifeline to {} at {}:{}: {}; its death would be noticed by time-outs",
                            e.peer().node(),
                            e.peer().host(),
                            e.peer().port(),
                            e.why());
                case Lifelines.Effect.Watched e ->
                    LOG.info("the lifeline to {} stands", e.peer().node());
            }
        }
        listener.status(lines.status());
        return this;
    }

    /** Carries what happens to sockets from their thread to the actor. */
    private record ToSelf(ActorRef<Message> self) implements LifelineSockets.Events {
        @Override
        public void opened(long line, long processId, String address) {
            self.tell(new Opened(line, processId, address));
        }

        @Override
        public void refused(long line) {
            self.tell(new Refused(line));
        }

        @Override
        public void failed(long line, String why) {
            self.tell(new Failed(line, why));
        }

        @Override
        public void closed(long line) {
            self.tell(new Closed(line));
        }
    }
}
