package io.tandem;

import io.tandem.TandemClient.GenerationObserver;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Stands between the node's actors and an observer, which is somebody else's code: one that throws must not end the actor that serves
 * it, which may be the door of all requests. It hears nothing more, and its generation is cancelled.
 */
final class GuardedObserver implements GenerationObserver {
    private static final Logger LOG = LoggerFactory.getLogger(GuardedObserver.class);

    private final String requestName;
    private final GenerationObserver observer;
    private final Runnable cancel;
    private final Runnable over;

    /** Events come from one thread at a time. */
    private volatile boolean broken;

    /**
     * @param cancel ends the generation
     * @param over runs after the last event
     */
    GuardedObserver(String requestName, GenerationObserver observer, Runnable cancel, Runnable over) {
        this.requestName = requestName;
        this.observer = observer;
        this.cancel = cancel;
        this.over = over;
    }

    @Override
    public void onEvent(GenerationEvent event) {
        tell(() -> observer.onEvent(event));
        if (event instanceof GenerationEvent.Finished) {
            over.run();
        }
    }

    @Override
    public void onError(GenerationException error) {
        tell(() -> observer.onError(error));
        over.run();
    }

    private void tell(Runnable call) {
        if (broken) {
            return;
        }
        try {
            call.run();
        } catch (RuntimeException | Error e) {
            broken = true;
            LOG.warn("the observer of request {} threw, and is told nothing more", requestName, e);
            cancel.run();
        }
    }
}
