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

    /** Events come from one thread at a time. */
    private volatile boolean broken;

    GuardedObserver(String requestName, GenerationObserver observer, Runnable cancel) {
        this.requestName = requestName;
        this.observer = observer;
        this.cancel = cancel;
    }

    @Override
    public void onEvent(GenerationEvent event) {
        tell(() -> observer.onEvent(event));
    }

    @Override
    public void onError(GenerationException error) {
        tell(() -> observer.onError(error));
    }

    private void tell(Runnable call) {
        if (broken) {
            return;
        }
        try {
            call.run();
        } catch (RuntimeException e) {
            broken = true;
            LOG.warn("the observer of request {} threw, and is told nothing more", requestName, e);
            cancel.run();
        }
    }
}
