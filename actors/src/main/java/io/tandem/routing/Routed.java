package io.tandem.routing;

/** Where a request goes, and the decision that sends it there. */
public record Routed(Route route, RoutingDecision decision) {
    /** Tokens of the prompt that are to be computed there, as predicted. */
    public int uncachedTokens() {
        return decision.plan().uncachedTokens();
    }
}
