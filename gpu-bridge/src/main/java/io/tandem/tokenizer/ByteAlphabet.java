package io.tandem.tokenizer;

import java.util.Arrays;

/**
 * The alphabet in which byte-level vocabularies are written: every byte is one printable character. Bytes that print by
 * themselves stand for themselves, the others for the characters from U+0100 on, in order (as published with GPT-2).
 */
final class ByteAlphabet {
    private static final char[] CHAR_OF_BYTE = new char[256];
    private static final short[] BYTE_OF_CHAR = new short[512];

    static {
        Arrays.fill(BYTE_OF_CHAR, (short) -1);
        int next = 256;
        for (int b = 0; b < 256; b++) {
            boolean prints = b >= '!' && b <= '~' || b >= 0xA1 && b <= 0xAC || b >= 0xAE;
            CHAR_OF_BYTE[b] = (char) (prints ? b : next++);
            BYTE_OF_CHAR[CHAR_OF_BYTE[b]] = (short) b;
        }
    }

    private ByteAlphabet() {}

    static char charOf(int b) {
        return CHAR_OF_BYTE[b & 0xFF];
    }

    /** The bytes that a vocabulary entry stands for; characters outside the alphabet as their UTF-8. */
    static byte[] bytesOf(String entry) {
        byte[] bytes = new byte[entry.length()];
        for (int i = 0; i < entry.length(); i++) {
            char c = entry.charAt(i);
            short b = c < BYTE_OF_CHAR.length ? BYTE_OF_CHAR[c] : -1;
            if (b < 0) {
                return entry.getBytes(java.nio.charset.StandardCharsets.UTF_8);
            }
            bytes[i] = (byte) b;
        }
        return bytes;
    }

    static String textOf(byte[] bytes, int from, int end) {
        char[] chars = new char[end - from];
        for (int i = from; i < end; i++) {
            chars[i - from] = charOf(bytes[i]);
        }
        return new String(chars);
    }
}
