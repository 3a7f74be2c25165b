package io.tandem.http.openai;

import java.time.Instant;

/**
 * What all parts of one answer share.
 *
 * @param id of the answer: "chatcmpl-" or "cmpl-" and the request's id
 * @param created Unix time, seconds
 */
record AnswerHead(String id, long created, CompletionSpec spec) {

    static AnswerHead of(CompletionSpec spec, String requestId) {
        return new AnswerHead(
                (spec.chat() ? "chatcmpl-" : "cmpl-") + requestId, Instant.now().getEpochSecond(), spec);
    }
}
