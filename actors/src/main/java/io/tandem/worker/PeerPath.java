package io.tandem.worker;

import io.tandem.kvcache.PeerBlocks;
import io.tandem.transfer.DirectPath;
import java.util.function.Consumer;

/** A backend's way to the blocks of other workers, as the transport takes it. */
record PeerPath(PeerBlocks peers) implements DirectPath {
    @Override
    public String name() {
        return peers.kind();
    }

    @Override
    public byte[] ticket() {
        return peers.ticket();
    }

    @Override
    public void open(long link, byte[] ticket, Consumer<String> done) {
        peers.open(link, ticket, done);
    }

    @Override
    public void close(long link, Runnable done) {
        peers.close(link, done);
    }

    @Override
    public void fetch(long link, int[] from, int[] to, FetchListener done) {
        peers.fetch(link, from, to, done::over);
    }
}
