package io.tandem.transfer;

import org.agrona.DirectBuffer;
import org.agrona.MutableDirectBuffer;

/**
 * What the agents need of a wire: ordered streams of small messages. Aeron is one; tests have another in memory, where
 * nothing happens by itself. Each agent has its own and uses it from one thread.
 */
interface Channels extends AutoCloseable {

    /** A stream to a peer. Connecting goes on in the background. Null when the peer cannot be reached at all. */
    Outbound connect(String wire, String channel, int streamId);

    /** The stream that peers send to. */
    Inbound inbound();

    /** Housekeeping; answers the work done. */
    int doWork();

    @Override
    void close();

    /** Sending side of a stream. */
    interface Outbound {
        long CLOSED = -4;

        /**
         * Claims room for one message of {@code length} bytes; on success fill {@link #buffer()} at {@link #offset()} and
         * {@link #commit()}.
         *
         * @return positive when claimed; negative for not now; {@link #CLOSED} when never again
         */
        long tryClaim(int length);

        MutableDirectBuffer buffer();

        int offset();

        void commit();

        boolean isConnected();

        /** Bytes of the largest message; once it was connected. */
        int maxPayload();

        void close();
    }

    /** Receiving side of a stream. */
    interface Inbound {
        int poll(MessageHandler handler, int limit);
    }

    /** Takes one message; the buffer is valid during the call. */
    @FunctionalInterface
    interface MessageHandler {
        void onMessage(DirectBuffer buffer, int offset, int length);
    }
}
