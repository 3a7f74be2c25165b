package io.tandem;

import java.util.List;

/**
 * The door of one node: its service classes, what waits and what became of requests.
 *
 * @param enabled off = everything is sent on at once
 * @param defaultClass of requests that name none
 * @param classes dearest first
 * @param tenants with something waiting or running, those with most first; not all
 * @param outcomes counts since the node started
 */
public record AdmissionStatus(
        boolean enabled, String defaultClass, List<ServiceTier> classes, List<Tenant> tenants, List<Outcome> outcomes) {

    /**
     * A service class.
     *
     * @param name what {@code service_tier} says
     * @param ttftTargetMs first token, milliseconds
     * @param itlTargetMs between tokens, milliseconds
     * @param weight of its requests within their tenant's share
     * @param price of a token
     * @param sheddable gives way to dearer classes in a full queue
     * @param queued waiting now
     * @param running sent and not over
     * @param queueTimes of the requests sent on since the start
     */
    public record ServiceTier(
            String name,
            double ttftTargetMs,
            double itlTargetMs,
            double weight,
            double price,
            boolean sheddable,
            int queued,
            int running,
            QueueTimes queueTimes) {}

    /**
     * A histogram.
     *
     * @param upperSeconds upper bounds; a last bucket takes the rest
     * @param counts one a bucket
     */
    public record QueueTimes(List<Double> upperSeconds, List<Long> counts, double sumSeconds) {}

    /** A tenant: its share and its requests now. */
    public record Tenant(String name, double weight, int queued, int running) {}

    /** How many requests of a class and tenant ended at the door in one way; "queued" is counted besides the others. */
    public record Outcome(String serviceClass, String tenant, String outcome, long count) {}
}
