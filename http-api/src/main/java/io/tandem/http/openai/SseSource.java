package io.tandem.http.openai;

import io.tandem.http.wire.JsonWriter;
import java.util.concurrent.TimeoutException;
import org.apache.pekko.stream.Attributes;
import org.apache.pekko.stream.Outlet;
import org.apache.pekko.stream.SourceShape;
import org.apache.pekko.stream.stage.AbstractOutHandler;
import org.apache.pekko.stream.stage.AsyncCallback;
import org.apache.pekko.stream.stage.GraphStage;
import org.apache.pekko.stream.stage.GraphStageLogic;
import org.apache.pekko.stream.stage.TimerGraphStageLogic;
import org.apache.pekko.util.ByteString;

/**
 * The bytes of one stream of server-sent events. On demand it sends what waits in a {@link StreamedAnswer}, in silence a
 * comment; it cancels the run when its client leaves or takes nothing for too long.
 */
final class SseSource extends GraphStage<SourceShape<ByteString>> {

    private static final ByteString HEARTBEAT = ByteString.fromString(":\n\n");
    private static final String TICK = "tick";
    private static final int INITIAL_BYTES = 512;

    private final Outlet<ByteString> out = Outlet.create("sse.out");
    private final SourceShape<ByteString> shape = SourceShape.of(out);
    private final StreamedAnswer answer;
    private final ChunkEncoder encoder;
    private final CompletionRun run;
    private final HttpSettings settings;
    private volatile boolean claimed;

    SseSource(StreamedAnswer answer, ChunkEncoder encoder, CompletionRun run, HttpSettings settings) {
        this.answer = answer;
        this.encoder = encoder;
        this.run = run;
        this.settings = settings;
    }

    @Override
    public SourceShape<ByteString> shape() {
        return shape;
    }

    /** Whether somebody began to read. */
    boolean claimed() {
        return claimed;
    }

    @Override
    public GraphStageLogic createLogic(Attributes inheritedAttributes) {
        return new Logic();
    }

    private final class Logic extends TimerGraphStageLogic {
        private final JsonWriter writer = new JsonWriter(INITIAL_BYTES);
        private final AsyncCallback<Boolean> wake = createAsyncCallback(ignored -> send());
        private long lastSentNanos = System.nanoTime();

        Logic() {
            super(shape);
            setHandler(out, new AbstractOutHandler() {
                @Override
                public void onPull() {
                    send();
                }
            });
        }

        @Override
        public void preStart() {
            claimed = true;
            answer.attach(() -> wake.invoke(Boolean.TRUE));
            scheduleWithFixedDelay(
                    TICK,
                    settings.sseHeartbeat().dividedBy(2),
                    settings.sseHeartbeat().dividedBy(2));
        }

        /** However the stream ends, nothing runs on for it. */
        @Override
        public void postStop() {
            run.clientLeft();
        }

        @Override
        public void onTimer(Object key) {
            long silentNanos = System.nanoTime() - lastSentNanos;
            if (isAvailable(out)) {
                if (silentNanos >= settings.sseHeartbeat().toNanos()) {
                    sent(HEARTBEAT);
                }
            } else if (answer.tooSlow()
                    || (silentNanos >= settings.slowClientTimeout().toNanos())) {
                failStage(new TimeoutException("the client takes nothing"));
            }
        }

        private void send() {
            if (!isAvailable(out)) {
                return;
            }
            StreamedAnswer.Fill fill = answer.fill(writer.reset(), encoder, settings.sseWriteBytes());
            if (writer.size() > 0) {
                sent(writer.toByteString());
            }
            if (fill == StreamedAnswer.Fill.END) {
                completeStage();
            }
        }

        private void sent(ByteString bytes) {
            lastSentNanos = System.nanoTime();
            push(out, bytes);
        }
    }
}
