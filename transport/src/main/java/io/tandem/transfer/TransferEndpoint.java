package io.tandem.transfer;

import java.util.List;

/**
 * Where a receiver listens; small enough to travel in a control message.
 *
 * @param wire "udp", "ipc" or "memory" (the in-process double)
 * @param channels Aeron channel URIs, one a stripe
 * @param streamId Aeron stream
 * @param hostId tells whether both ends share a host (and its /dev/shm)
 * @param direct name of the {@link DirectPath} by which it can fetch from a worker on its host; empty = none
 */
public record TransferEndpoint(String wire, List<String> channels, int streamId, String hostId, String direct) {
    public TransferEndpoint {
        channels = List.copyOf(channels);
    }

    /** Without a direct path. */
    public TransferEndpoint(String wire, List<String> channels, int streamId, String hostId) {
        this(wire, channels, streamId, hostId, "");
    }

    TransferEndpoint withDirect(String path) {
        return new TransferEndpoint(wire, channels, streamId, hostId, path);
    }
}
