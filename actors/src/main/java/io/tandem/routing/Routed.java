package io.tandem.routing;

/** Where a request goes, and the decision that sends it there. */
public record Routed(Route route, RoutingDecision decision) {}
