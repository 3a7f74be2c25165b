package io.tandem.http.openai;

import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/** One client connection and what runs for it, so that a client that leaves takes its generations along. */
final class Connection {

    private final Set<CompletionRun> runs = ConcurrentHashMap.newKeySet();
    private volatile boolean closed;

    void add(CompletionRun run) {
        runs.add(run);
        if (closed) {
            run.clientLeft();
        }
    }

    void remove(CompletionRun run) {
        runs.remove(run);
    }

    void closed() {
        closed = true;
        runs.forEach(CompletionRun::clientLeft);
    }
}
