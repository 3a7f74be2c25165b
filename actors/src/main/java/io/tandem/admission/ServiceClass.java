package io.tandem.admission;

/**
 * What a client may ask for by {@code service_tier}. Times in nanoseconds.
 *
 * @param name what requests say and answers repeat
 * @param ttftTargetNanos from acceptance to the first token, time in the queue included
 * @param itlTargetNanos between two tokens
 * @param weight its requests are charged to their tenant's share at 1/weight
 * @param price of a token, in any unit; the cheaper entry leaves a full queue
 * @param sheddable may be put out of a full queue by a dearer class
 * @param queueMaxRequests waiting requests of this class, at most
 */
public record ServiceClass(
        String name,
        long ttftTargetNanos,
        long itlTargetNanos,
        double weight,
        double price,
        boolean sheddable,
        int queueMaxRequests) {}
