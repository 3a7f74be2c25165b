package io.tandem.tokenizer;

import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.text.Normalizer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/**
 * Byte-level byte-pair encoding. Text is cut into words by the vocabulary's own pattern, each word's bytes are merged pair
 * by pair in the order of the merge list. Words seen before come from a bounded cache.
 */
public final class BpeTokenizer implements Tokenizer {
    private static final int MAX_CACHED_WORDS = 32_768;
    private static final int MAX_CACHED_WORD_CHARS = 48;
    private static final byte[] NOTHING = {};

    /** What kind of entry an id is. */
    enum Kind {
        NORMAL,
        /** Recognised in any text, and text when decoded. */
        USER_DEFINED,
        /** Recognised only where special tokens are asked for, and no text. */
        CONTROL
    }

    /** Everything a vocabulary file says. */
    record Vocabulary(
            String[] entries,
            Kind[] kinds,
            List<String[]> merges,
            PreTokenizer preTokenizer,
            boolean wholeWordsFirst,
            boolean composeFirst,
            int[] prefix,
            int[] suffix) {}

    private final byte[][] bytes;
    private final Kind[] kinds;
    private final Map<String, Integer> ids = new HashMap<>();
    private final int[] idOfByte = new int[256];
    private final MergeTable merges;
    private final PreTokenizer preTokenizer;
    private final boolean wholeWordsFirst;
    private final boolean composeFirst;
    private final int[] prefix;
    private final int[] suffix;
    private final AddedTokens userDefined;
    private final AddedTokens allAdded;
    private final Map<String, Integer> added = new HashMap<>();
    private final ConcurrentHashMap<String, int[]> cache = new ConcurrentHashMap<>();

    BpeTokenizer(Vocabulary v) {
        kinds = v.kinds();
        bytes = new byte[v.entries().length][];
        Map<String, Integer> user = new HashMap<>();
        for (int id = 0; id < bytes.length; id++) {
            String entry = v.entries()[id];
            if (kinds[id] == Kind.NORMAL) {
                bytes[id] = ByteAlphabet.bytesOf(entry);
                ids.putIfAbsent(entry, id);
            } else {
                bytes[id] = entry.getBytes(StandardCharsets.UTF_8);
                added.putIfAbsent(entry, id);
                if (kinds[id] == Kind.USER_DEFINED) {
                    user.putIfAbsent(entry, id);
                }
            }
        }
        for (int b = 0; b < 256; b++) {
            Integer id = ids.get(String.valueOf(ByteAlphabet.charOf(b)));
            idOfByte[b] = id == null ? -1 : id;
        }
        merges = new MergeTable(v.merges(), ids);
        preTokenizer = v.preTokenizer();
        wholeWordsFirst = v.wholeWordsFirst();
        composeFirst = v.composeFirst();
        prefix = v.prefix();
        suffix = v.suffix();
        userDefined = new AddedTokens(user);
        allAdded = new AddedTokens(added);
    }

    @Override
    public int vocabSize() {
        return bytes.length;
    }

    @Override
    public int[] encode(String text, boolean addSpecial, boolean parseSpecial) {
        IntList out = new IntList(text.length() / 3 + 8);
        if (addSpecial) {
            out.addAll(prefix, prefix.length);
        }
        AddedTokens known = parseSpecial ? allAdded : userDefined;
        String sound = sound(text);
        int from = 0;
        for (AddedTokens.Hit hit = known.find(sound, 0); hit != null; hit = known.find(sound, from)) {
            plain(sound.substring(from, hit.start()), out);
            out.add(hit.id());
            from = hit.end();
        }
        plain(sound.substring(from), out);
        if (addSpecial) {
            out.addAll(suffix, suffix.length);
        }
        return out.toArray();
    }

    /** Half a surrogate pair is no character: it becomes U+FFFD. */
    private static String sound(String text) {
        StringBuilder repaired = null;
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (Character.isHighSurrogate(c) && i + 1 < text.length() && Character.isLowSurrogate(text.charAt(i + 1))) {
                i++;
            } else if (Character.isSurrogate(c)) {
                repaired = repaired == null ? new StringBuilder(text) : repaired;
                repaired.setCharAt(i, '\uFFFD');
            }
        }
        return repaired == null ? text : repaired.toString();
    }

    private void plain(String text, IntList out) {
        if (!text.isEmpty()) {
            preTokenizer.split(
                    composeFirst ? Normalizer.normalize(text, Normalizer.Form.NFC) : text, word -> word(word, out));
        }
    }

    private void word(String word, IntList out) {
        int[] known = cache.get(word);
        if (known == null) {
            known = merge(word);
            if (word.length() <= MAX_CACHED_WORD_CHARS && cache.size() < MAX_CACHED_WORDS) {
                cache.put(word, known);
            }
        }
        out.addAll(known, known.length);
    }

    private int[] merge(String word) {
        byte[] utf8 = word.getBytes(StandardCharsets.UTF_8);
        if (wholeWordsFirst) {
            Integer whole = ids.get(ByteAlphabet.textOf(utf8, 0, utf8.length));
            if (whole != null) {
                return new int[] {whole};
            }
        }
        int[] parts = new int[utf8.length];
        int count = 0;
        for (byte b : utf8) {
            int id = idOfByte[b & 0xFF];
            if (id >= 0) {
                parts[count++] = id;
            }
        }
        return Arrays.copyOf(parts, merges.apply(parts, count));
    }

    @Override
    public String decode(int[] tokens) {
        ByteArrayOutputStream all = new ByteArrayOutputStream(tokens.length * 4);
        for (int id : tokens) {
            all.writeBytes(tokenBytes(id, true));
        }
        return all.toString(StandardCharsets.UTF_8);
    }

    @Override
    public byte[] tokenBytes(int id, boolean special) {
        if (id < 0 || id >= bytes.length || !special && kinds[id] == Kind.CONTROL) {
            return NOTHING;
        }
        return bytes[id].clone();
    }

    @Override
    public int specialTokenId(String text) {
        return added.getOrDefault(text, -1);
    }

    @Override
    public boolean isSpecial(int id) {
        return id >= 0 && id < kinds.length && kinds[id] == Kind.CONTROL;
    }

    @Override
    public IncrementalDetokenizer newDetokenizer(boolean renderSpecial) {
        return new Utf8Detokenizer(this, renderSpecial);
    }

    /** A growing array of ids. */
    private static final class IntList {
        private int[] values;
        private int count;

        IntList(int capacity) {
            values = new int[capacity];
        }

        void add(int value) {
            if (count == values.length) {
                values = Arrays.copyOf(values, 2 * count);
            }
            values[count++] = value;
        }

        void addAll(int[] more, int n) {
            if (count + n > values.length) {
                values = Arrays.copyOf(values, Math.max(2 * values.length, count + n));
            }
            System.arraycopy(more, 0, values, count, n);
            count += n;
        }

        int[] toArray() {
            return Arrays.copyOf(values, count);
        }
    }

    /** Finds added tokens in text: the earliest, and of those the longest. */
    private static final class AddedTokens {
        record Hit(int start, int end, int id) {}

        private final Map<Character, List<Map.Entry<String, Integer>>> byFirst = new HashMap<>();

        AddedTokens(Map<String, Integer> tokens) {
            for (Map.Entry<String, Integer> token : tokens.entrySet()) {
                if (!token.getKey().isEmpty()) {
                    byFirst.computeIfAbsent(token.getKey().charAt(0), c -> new ArrayList<>())
                            .add(token);
                }
            }
            byFirst.values()
                    .forEach(list -> list.sort((a, b) ->
                            Integer.compare(b.getKey().length(), a.getKey().length())));
        }

        Hit find(String text, int from) {
            if (byFirst.isEmpty()) {
                return null;
            }
            for (int i = from; i < text.length(); i++) {
                List<Map.Entry<String, Integer>> candidates = byFirst.get(text.charAt(i));
                if (candidates == null) {
                    continue;
                }
                for (Map.Entry<String, Integer> token : candidates) {
                    if (text.startsWith(token.getKey(), i)) {
                        return new Hit(i, i + token.getKey().length(), token.getValue());
                    }
                }
            }
            return null;
        }
    }
}
