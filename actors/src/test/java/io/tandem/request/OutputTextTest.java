package io.tandem.request;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.tandem.tokenizer.IncrementalDetokenizer;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

class OutputTextTest {
    /** Token ids are characters. */
    private static final class Characters implements IncrementalDetokenizer {
        @Override
        public String append(int tokenId) {
            return String.valueOf((char) tokenId);
        }

        @Override
        public String finish() {
            return "";
        }
    }

    private static String run(String text, List<String> stops, boolean[] stopped) {
        OutputText output = new OutputText(new Characters(), stops);
        StringBuilder shown = new StringBuilder();
        for (int i = 0; i < text.length(); i++) {
            shown.append(output.append(text.charAt(i)));
            // What was shown can never be taken back: no stop text may begin in it.
            assertTrue(text.startsWith(shown.toString()));
        }
        stopped[0] = output.stopped();
        return shown + output.finish();
    }

    @Test
    void shouldEndBeforeTheFirstStopText() {
        boolean[] stopped = new boolean[1];
        assertEquals("one ", run("one two three", List.of("two", "three"), stopped));
        assertTrue(stopped[0]);
        assertEquals("", run("STOP now", List.of("STOP"), stopped));
        assertEquals("aa", run("aaab then", List.of("ab"), stopped));
    }

    @Test
    void shouldLetOutWhatOnlyLookedLikeAStopText() {
        boolean[] stopped = new boolean[1];
        assertEquals("an en, an enough", run("an en, an enough", List.of("end"), stopped));
        assertFalse(stopped[0]);
        assertEquals("unfinished en", run("unfinished en", List.of("end"), stopped));
        OutputText output = new OutputText(new Characters(), List.of("end"));
        assertEquals("x", output.append('x'));
        assertEquals("", output.append('e'));
        assertEquals("", output.append('n'));
        assertEquals("eno", output.append('o'));
    }

    /** However texts and stop texts overlap, the result is the text before the first occurrence. */
    @Test
    void shouldAgreeWithASearchOfTheWholeText() {
        Random random = new Random(7);
        int cut = 0;
        for (int round = 0; round < 5_000; round++) {
            String text = letters(random, 30);
            List<String> stops = List.of(letters(random, 4) + "a", letters(random, 3) + "b");
            int first = stops.stream()
                    .mapToInt(text::indexOf)
                    .filter(at -> at >= 0)
                    .min()
                    .orElse(-1);
            boolean[] stopped = new boolean[1];
            String shown = run(text, stops, stopped);
            if (first < 0) {
                assertEquals(text, shown);
                assertFalse(stopped[0]);
            } else {
                cut++;
                assertTrue(stopped[0], text + " " + stops);
                assertTrue(shown.length() >= first && text.startsWith(shown), text + " " + stops + " -> " + shown);
                assertTrue(stops.stream().noneMatch(shown::contains), shown);
            }
        }
        assertTrue(cut > 1_000);
    }

    private static String letters(Random random, int max) {
        int length = random.nextInt(max + 1);
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < length; i++) {
            text.append((char) ('a' + random.nextInt(3)));
        }
        return text.toString();
    }
}
