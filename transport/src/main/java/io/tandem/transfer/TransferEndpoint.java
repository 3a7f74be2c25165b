package io.tandem.transfer;

import java.util.List;

/**
 * Where a receiver listens; small enough to travel in a control message.
 *
 * @param wire "udp", "ipc" or "memory" (the in-process double)
 * @param channels Aeron channel URIs, one a stripe
 * @param streamId Aeron stream
 * @param hostId tells whether both ends share a host (and its /dev/shm)
 */
public record TransferEndpoint(String wire, List<String> channels, int streamId, String hostId) {
    public TransferEndpoint {
        channels = List.copyOf(channels);
    }
}
