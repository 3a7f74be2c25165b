package io.tandem.worker;

import io.tandem.engine.EngineCommand;
import java.util.ArrayDeque;

/** Commands to the engine that must not be lost: those its queue has no room for wait here, in order. */
final class EngineOutbox {
    private final WorkBook.Commands engine;
    private final ArrayDeque<EngineCommand> unsent = new ArrayDeque<>();

    EngineOutbox(WorkBook.Commands engine) {
        this.engine = engine;
    }

    void tell(EngineCommand command) {
        if (!unsent.isEmpty() || !engine.offer(command)) {
            unsent.add(command);
        }
    }

    /** Tells what did not fit before. */
    void retry() {
        while (!unsent.isEmpty() && engine.offer(unsent.peek())) {
            unsent.poll();
        }
    }
}
