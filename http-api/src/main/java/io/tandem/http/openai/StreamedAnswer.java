package io.tandem.http.openai;

import io.tandem.GenerationEvent;
import io.tandem.GenerationEvent.TokenLogprob;
import io.tandem.RequestReport;
import io.tandem.http.wire.ApiException;
import io.tandem.http.wire.JsonWriter;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/**
 * What waits to be sent in one stream. The cluster's threads put events in and never wait; the stream takes as much as
 * its client is ready for. Where a client is slow, tokens join in one event, so no text is lost and the number of events
 * is bounded; past {@code maxChars} the client is too slow.
 */
final class StreamedAnswer implements ChoiceSink {

    /** What came of a {@link #fill}. */
    enum Fill {
        /** Nothing to send now; the waker will be called. */
        EMPTY,
        /** Something was written. */
        MORE,
        /** Something may have been written, and that was the end. */
        END
    }

    /** About what a token's id and a log-probability take in an event, beside the text. */
    private static final int ID_CHARS = 8;

    private static final int LOGPROB_CHARS = 64;

    /** Text that belongs together, and its tokens. */
    private record Piece(String text, int[] ids, List<TokenLogprob> logprobs) {
        /** Characters that it will be about. */
        long chars(boolean withIds) {
            long chars = text.length() + (withIds ? (long) ID_CHARS * ids.length : 0);
            for (TokenLogprob token : logprobs) {
                chars += LOGPROB_CHARS * (1L + token.topIds().length);
            }
            return chars;
        }

        Piece join(GenerationEvent.Tokens next) {
            int[] joined = Arrays.copyOf(ids, ids.length + next.tokenIds().length);
            System.arraycopy(next.tokenIds(), 0, joined, ids.length, next.tokenIds().length);
            List<TokenLogprob> tokens = new ArrayList<>(logprobs);
            tokens.addAll(next.logprobs());
            return new Piece(text + next.text(), joined, tokens);
        }
    }

    /** One choice: what it has not sent. */
    private static final class Choice {
        final ArrayDeque<Piece> pieces = new ArrayDeque<>();
        final StringBuilder tail = new StringBuilder();
        int[] promptIds;
        GenerationEvent.Finished finished;
        boolean startSent;
        boolean finishSent;
    }

    private static final int[] NO_IDS = {};

    private final Choice[] choices;
    private final int maxEvents;
    private final long maxChars;
    private final boolean withReport;
    private final boolean withIds;
    private final CompletableFuture<Void> accepted = new CompletableFuture<>();
    private int started;
    private int finished;
    private long chars;
    private ApiException error;
    private Runnable waker;
    private boolean waiting;
    private int turn;

    /**
     * @param maxEvents of a choice that wait before tokens share an event
     * @param maxChars that wait at most
     */
    StreamedAnswer(CompletionSpec spec, int maxEvents, long maxChars, boolean withReport) {
        this.choices = new Choice[spec.choices()];
        Arrays.setAll(choices, i -> new Choice());
        this.maxEvents = maxEvents;
        this.maxChars = maxChars;
        this.withReport = withReport;
        withIds = spec.returnTokenIds();
    }

    /** Completes when the cluster took every choice; fails with {@link ApiException} when it refused one. */
    CompletableFuture<Void> accepted() {
        return accepted;
    }

    @Override
    public void started(int index, GenerationEvent.Started event) {
        boolean all;
        synchronized (this) {
            choices[index].promptIds = event.promptTokens();
            all = ++started == choices.length;
            wake();
        }
        if (all) {
            accepted.complete(null);
        }
    }

    @Override
    public synchronized void tokens(int index, GenerationEvent.Tokens event) {
        ArrayDeque<Piece> pieces = choices[index].pieces;
        Piece piece = new Piece(event.text(), event.tokenIds(), event.logprobs());
        pieces.add(pieces.size() < maxEvents ? piece : pieces.removeLast().join(event));
        chars += piece.chars(withIds);
        wake();
    }

    @Override
    public void finished(int index, GenerationEvent.Finished event) {
        synchronized (this) {
            Choice choice = choices[index];
            choice.finished = event;
            choice.tail.append(event.text());
            finished++;
            wake();
        }
        accepted.complete(null);
    }

    @Override
    public void failed(ApiException failure) {
        synchronized (this) {
            error = failure;
            wake();
        }
        accepted.completeExceptionally(failure);
    }

    /** Who is called, under this object's lock, when something can be sent after {@link Fill#EMPTY}. */
    synchronized void attach(Runnable wakeUp) {
        waker = wakeUp;
    }

    /** Whether the client is so far behind that the stream must end. */
    synchronized boolean tooSlow() {
        return chars > maxChars;
    }

    /** Writes what waits, up to about {@code maxBytes}. */
    synchronized Fill fill(JsonWriter out, ChunkEncoder encoder, int maxBytes) {
        boolean full = false;
        for (int i = 0; i < choices.length && !full; i++) {
            int index = turn;
            full = fill(out, encoder, index, maxBytes);
            turn = full ? turn : (turn + 1) % choices.length;
        }
        if (full) {
            return Fill.MORE;
        }
        if (error != null) {
            encoder.error(out, error);
            return Fill.END;
        }
        if (finished == choices.length) {
            List<RequestReport> reports = new ArrayList<>(choices.length);
            for (Choice choice : choices) {
                reports.add(choice.finished.report());
            }
            encoder.summary(out, reports, withReport);
            encoder.done(out);
            return Fill.END;
        }
        waiting = out.size() == 0;
        return waiting ? Fill.EMPTY : Fill.MORE;
    }

    /** One choice's part; true when the write is full. */
    private boolean fill(JsonWriter out, ChunkEncoder encoder, int index, int maxBytes) {
        Choice choice = choices[index];
        if (choice.promptIds != null && !choice.startSent) {
            choice.startSent = true;
            encoder.start(out, index, choice.promptIds);
        }
        while (!choice.pieces.isEmpty()) {
            if (out.size() >= maxBytes) {
                return true;
            }
            Piece piece = choice.pieces.poll();
            chars -= piece.chars(withIds);
            encoder.delta(out, index, piece.text(), piece.ids(), piece.logprobs());
        }
        if (choice.finished != null && !choice.finishSent) {
            choice.finishSent = true;
            if (!choice.tail.isEmpty()) {
                encoder.delta(out, index, choice.tail.toString(), NO_IDS, List.of());
            }
            encoder.finish(out, index, choice.finished.reason());
        }
        return false;
    }

    private void wake() {
        if (waiting && waker != null) {
            waiting = false;
            waker.run();
        }
    }
}
