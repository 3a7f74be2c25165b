package io.tandem.worker;

import io.tandem.request.RequestMessage;
import io.tandem.request.RequestTarget;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.pekko.actor.typed.ActorRef;

/** The works of one GPU by key and by target, and the nodes they belong to, each of which is watched while it has some. */
final class WorkTable {
    private final ConcurrentHashMap<Long, Work> works;
    private final WorkBook.Watcher watcher;
    private final Map<RequestTarget, Work> byTarget = new HashMap<>();
    private final Map<ActorRef<RequestMessage>, Integer> worksOfHub = new HashMap<>();

    /** @param works by key; the engine's thread reads it */
    WorkTable(ConcurrentHashMap<Long, Work> works, WorkBook.Watcher watcher) {
        this.works = works;
        this.watcher = watcher;
    }

    int size() {
        return works.size();
    }

    Collection<Work> all() {
        return works.values();
    }

    /** Null when it is over. */
    Work get(long key) {
        return works.get(key);
    }

    /** Null when there is none. */
    Work get(RequestTarget target) {
        return byTarget.get(target);
    }

    List<Work> of(ActorRef<RequestMessage> hub) {
        return works.values().stream().filter(w -> w.target.hub().equals(hub)).toList();
    }

    /** Those that have works here. */
    Set<ActorRef<RequestMessage>> hubs() {
        return Set.copyOf(worksOfHub.keySet());
    }

    void add(Work work) {
        works.put(work.key, work);
        byTarget.put(work.target, work);
        if (worksOfHub.merge(work.target.hub(), 1, Integer::sum) == 1) {
            watcher.watch(work.target.hub());
        }
    }

    /** False when it was not here. */
    boolean remove(Work work) {
        if (works.remove(work.key) == null) {
            return false;
        }
        byTarget.remove(work.target);
        ActorRef<RequestMessage> hub = work.target.hub();
        if (worksOfHub.merge(hub, -1, Integer::sum) == 0) {
            worksOfHub.remove(hub);
            watcher.unwatch(hub);
        }
        return true;
    }

    /** Tells every node what is here for it. */
    void sayHoldings(String gpuId) {
        Map<ActorRef<RequestMessage>, List<Work>> ofHub = new LinkedHashMap<>();
        works.values()
                .forEach(w -> ofHub.computeIfAbsent(w.target.hub(), h -> new ArrayList<>())
                        .add(w));
        ofHub.forEach((hub, some) -> hub.tell(new RequestMessage.Holding(
                gpuId,
                some.stream().mapToLong(w -> w.target.requestId()).toArray(),
                some.stream().mapToInt(w -> w.target.attempt()).toArray())));
    }
}
