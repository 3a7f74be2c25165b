package io.tandem.request;

import io.tandem.tokenizer.IncrementalDetokenizer;
import java.util.List;

/**
 * Turns tokens into text that is certain: nothing that might still become a stop text, or a character, is let out. Once a
 * stop text was found, the text ends before it.
 */
final class OutputText {
    private final IncrementalDetokenizer detokenizer;
    private final List<String> stops;
    private final int longestStop;
    private final StringBuilder held = new StringBuilder();
    private boolean stopped;

    OutputText(IncrementalDetokenizer detokenizer, List<String> stops) {
        this.detokenizer = detokenizer;
        this.stops = stops;
        longestStop = stops.stream().mapToInt(String::length).max().orElse(0);
    }

    /** Takes a token; answers what may be shown. */
    String append(int token) {
        return take(detokenizer.append(token), false);
    }

    /** The end: answers what was held back. */
    String finish() {
        return take(detokenizer.finish(), true);
    }

    /** Whether a stop text was found. */
    boolean stopped() {
        return stopped;
    }

    private String take(String text, boolean last) {
        if (stopped) {
            return "";
        }
        if (stops.isEmpty()) {
            return text;
        }
        held.append(text);
        int at = firstStop();
        if (at >= 0) {
            stopped = true;
            held.setLength(at);
            return release(held.length());
        }
        return release(last ? held.length() : held.length() - possibleStop());
    }

    private int firstStop() {
        int first = -1;
        for (String stop : stops) {
            int at = held.indexOf(stop);
            if (at >= 0 && (first < 0 || at < first)) {
                first = at;
            }
        }
        return first;
    }

    /** Length of the longest end of the held text with which a stop text begins. */
    private int possibleStop() {
        for (int length = Math.min(held.length(), longestStop - 1); length > 0; length--) {
            String end = held.substring(held.length() - length);
            for (String stop : stops) {
                if (stop.length() > length && stop.startsWith(end)) {
                    return length;
                }
            }
        }
        return 0;
    }

    private String release(int length) {
        String text = held.substring(0, length);
        held.delete(0, length);
        return text;
    }
}
