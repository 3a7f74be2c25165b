package io.tandem.admission;

/**
 * A request at the door.
 *
 * @param id of the request on this node
 * @param tenant whose share it uses
 * @param serviceClass its targets
 * @param promptTokens of its prompt
 * @param maxNewTokens output at most
 * @param arrivalNanos when it was accepted from its client
 * @param timeoutNanos its own end-to-end limit, from {@code arrivalNanos}
 */
public record Applicant(
        long id,
        String tenant,
        ServiceClass serviceClass,
        int promptTokens,
        int maxNewTokens,
        long arrivalNanos,
        long timeoutNanos) {

    /** Whether there are tokens with time between them: a single one comes with the prompt. */
    public boolean decodes() {
        return maxNewTokens > 1;
    }

    /** When the first token is due. */
    public long dueNanos() {
        return arrivalNanos + Math.min(serviceClass.ttftTargetNanos(), timeoutNanos);
    }
}
