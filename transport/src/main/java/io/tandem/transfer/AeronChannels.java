package io.tandem.transfer;

import io.aeron.Aeron;
import io.aeron.CommonContext;
import io.aeron.ExclusivePublication;
import io.aeron.Publication;
import io.aeron.Subscription;
import io.aeron.exceptions.AeronException;
import io.aeron.logbuffer.BufferClaim;
import io.aeron.logbuffer.FragmentHandler;
import java.io.File;
import java.util.HashMap;
import java.util.Map;
import org.agrona.CloseHelper;
import org.agrona.MutableDirectBuffer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Aeron's streams for one agent. To a peer on the same host a client connects to the peer's own driver. */
final class AeronChannels implements Channels {
    private static final Logger LOG = LoggerFactory.getLogger(AeronChannels.class);
    private static final long DRIVER_TIMEOUT_MILLIS = 2_000;

    private final Aeron own;
    private final Inbound inbound;
    private final Map<String, Aeron> neighbours = new HashMap<>();

    AeronChannels(Aeron own, Subscription subscription) {
        this.own = own;
        inbound = new Inbound() {
            private MessageHandler target;
            private final FragmentHandler fragments =
                    (buffer, offset, length, header) -> target.onMessage(buffer, offset, length);

            @Override
            public int poll(MessageHandler handler, int limit) {
                target = handler;
                return subscription.poll(fragments, limit);
            }
        };
    }

    /** Nothing waits for a driver's answer: a neighbour's may hang, and all other transfers with it. */
    @Override
    public Outbound connect(String wire, String channel, int streamId) {
        try {
            return switch (wire) {
                case "udp" -> new Stream(own, channel, streamId);
                case "ipc" -> {
                    Aeron neighbour = neighbour(channel);
                    yield neighbour == null ? null : new Stream(neighbour, "aeron:ipc", streamId);
                }
                default -> null;
            };
        } catch (AeronException | IllegalArgumentException e) {
            LOG.warn("no stream to {} {}: {}", wire, channel, e.toString());
            return null;
        }
    }

    private Aeron neighbour(String directory) {
        Aeron known = neighbours.get(directory);
        if (known != null && !known.isClosed()) {
            return known;
        }
        if (!CommonContext.isDriverActive(new File(directory), DRIVER_TIMEOUT_MILLIS, text -> {})) {
            return null;
        }
        Aeron connected = Aeron.connect(new Aeron.Context()
                .aeronDirectoryName(directory)
                .useConductorAgentInvoker(true)
                .errorHandler(e -> LOG.warn("the driver of a neighbour is gone: {}", e.toString())));
        neighbours.put(directory, connected);
        return connected;
    }

    @Override
    public Inbound inbound() {
        return inbound;
    }

    @Override
    public int doWork() {
        int work = own.conductorAgentInvoker().invoke();
        if (!neighbours.isEmpty()) {
            // One whose driver is gone closes itself, and a successor has another directory.
            neighbours.values().removeIf(Aeron::isClosed);
            for (Aeron neighbour : neighbours.values()) {
                work += neighbour.conductorAgentInvoker().invoke();
            }
        }
        return work;
    }

    @Override
    public void close() {
        neighbours.values().forEach(CloseHelper::quietClose);
        CloseHelper.quietClose(own);
    }

    private static final class Stream implements Outbound {
        private final Aeron aeron;
        private final long registration;
        private final BufferClaim claim = new BufferClaim();

        /** Null until the driver has answered. */
        private ExclusivePublication publication;

        private boolean refused;

        Stream(Aeron aeron, String channel, int streamId) {
            this.aeron = aeron;
            registration = aeron.asyncAddExclusivePublication(channel, streamId);
        }

        private boolean isThere() {
            if (publication == null && !refused) {
                try {
                    publication = aeron.getExclusivePublication(registration);
                } catch (AeronException e) {
                    LOG.warn("no stream: {}", e.toString());
                    refused = true;
                }
            }
            return publication != null;
        }

        @Override
        public long tryClaim(int length) {
            if (!isThere()) {
                return refused ? CLOSED : Publication.NOT_CONNECTED;
            }
            long position = publication.tryClaim(length, claim);
            return position == Publication.CLOSED || position == Publication.MAX_POSITION_EXCEEDED ? CLOSED : position;
        }

        @Override
        public MutableDirectBuffer buffer() {
            return claim.buffer();
        }

        @Override
        public int offset() {
            return claim.offset();
        }

        @Override
        public void commit() {
            claim.commit();
        }

        @Override
        public boolean isConnected() {
            return isThere() && publication.isConnected();
        }

        @Override
        public int maxPayload() {
            return publication.maxPayloadLength();
        }

        @Override
        public void close() {
            if (isThere()) {
                CloseHelper.quietClose(publication);
            } else if (!refused) {
                refused = true;
                CloseHelper.quietClose(() -> aeron.asyncRemovePublication(registration));
            }
        }
    }
}
