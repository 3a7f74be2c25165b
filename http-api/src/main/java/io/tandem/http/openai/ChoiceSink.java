package io.tandem.http.openai;

import io.tandem.GenerationEvent;
import io.tandem.http.wire.ApiException;

/** Takes the events of all choices of a request. Choices may call from different threads at once. */
interface ChoiceSink {

    void started(int choice, GenerationEvent.Started event);

    void tokens(int choice, GenerationEvent.Tokens event);

    /** A choice ended by itself (STOP or LENGTH). */
    void finished(int choice, GenerationEvent.Finished event);

    /** A choice failed; the request is over and the other choices are being cancelled. At most once. */
    void failed(ApiException error);
}
