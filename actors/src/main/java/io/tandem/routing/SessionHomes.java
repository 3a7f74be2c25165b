package io.tandem.routing;

import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.Map;

/** The workers that served each session last. Bounded; the session unused for longest goes first. Not thread-safe. */
final class SessionHomes {

    /** Where a session's KV is. */
    record Home(String prefillGpu, String decodeGpu, long usedNanos) {
        boolean has(String gpuId) {
            return prefillGpu.equals(gpuId) || decodeGpu.equals(gpuId);
        }
    }

    private final int maxSessions;
    private final long ttlNanos;

    /** Used least recently first. */
    private final LinkedHashMap<String, Home> homes = new LinkedHashMap<>();

    SessionHomes(int maxSessions, long ttlNanos) {
        this.maxSessions = maxSessions;
        this.ttlNanos = ttlNanos;
    }

    /** Null when the session is unknown or has been silent for too long. */
    Home find(String session, long nowNanos) {
        Home home = session.isEmpty() ? null : homes.get(session);
        return home == null || nowNanos - home.usedNanos() > ttlNanos ? null : home;
    }

    void served(String session, Route route, long nowNanos) {
        if (session.isEmpty()) {
            return;
        }
        homes.remove(session);
        homes.put(session, new Home(route.prefillGpu(), route.decodeGpu(), nowNanos));
        Iterator<Map.Entry<String, Home>> oldest = homes.entrySet().iterator();
        while (homes.size() > maxSessions
                || homes.firstEntry() != null
                        && nowNanos - homes.firstEntry().getValue().usedNanos() > ttlNanos) {
            oldest.next();
            oldest.remove();
        }
    }

    int size() {
        return homes.size();
    }
}
