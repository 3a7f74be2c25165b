package io.tandem.supervisor;

import io.tandem.routing.RegistryMessage;
import io.tandem.serialization.WireMessage;

/**
 * The demand one node sees, sent to every node's registry about once a second.
 *
 * @param node host:port of its control messages
 * @param requestsPerSecond arriving there
 * @param uncached {@link LengthHistogram} of prompt tokens to compute
 * @param outputs {@link LengthHistogram} of output tokens
 * @param contextSum over finished requests, output tokens times the mean context they were computed in
 */
public record DemandReport(String node, float requestsPerSecond, float[] uncached, float[] outputs, float contextSum)
        implements RegistryMessage, WireMessage {}
