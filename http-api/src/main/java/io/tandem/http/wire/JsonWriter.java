package io.tandem.http.wire;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import org.apache.pekko.util.ByteString;

/**
 * Writes JSON as UTF-8 into one growing array that is reused; commas are put where they belong. Not thread-safe. An
 * unpaired surrogate becomes U+FFFD, a number that JSON lacks becomes {@value #NO_PROBABILITY} (log-probabilities) or null.
 */
public final class JsonWriter {

    /** What stands for minus infinity in log-probabilities: JSON has no infinities. */
    public static final double NO_PROBABILITY = -9999.0;

    private static final byte[] HEX = "0123456789abcdef".getBytes(StandardCharsets.US_ASCII);
    private static final byte[] NULL = "null".getBytes(StandardCharsets.US_ASCII);
    private static final byte[] TRUE = "true".getBytes(StandardCharsets.US_ASCII);
    private static final byte[] FALSE = "false".getBytes(StandardCharsets.US_ASCII);
    private static final int MAX_DIGITS = 20;

    private byte[] buffer;
    private int size;
    private boolean comma;

    public JsonWriter(int initialBytes) {
        buffer = new byte[Math.max(64, initialBytes)];
    }

    public int size() {
        return size;
    }

    /** Forgets what was written and keeps the array. */
    public JsonWriter reset() {
        size = 0;
        comma = false;
        return this;
    }

    public JsonWriter beginObject() {
        separate();
        put('{');
        comma = false;
        return this;
    }

    public JsonWriter endObject() {
        put('}');
        comma = true;
        return this;
    }

    public JsonWriter beginArray() {
        separate();
        put('[');
        comma = false;
        return this;
    }

    public JsonWriter endArray() {
        put(']');
        comma = true;
        return this;
    }

    public JsonWriter name(String name) {
        separate();
        quoted(name);
        put(':');
        comma = false;
        return this;
    }

    /** A string, or null. */
    public JsonWriter value(String text) {
        separate();
        if (text == null) {
            bytes(NULL);
        } else {
            quoted(text);
        }
        comma = true;
        return this;
    }

    public JsonWriter value(long number) {
        separate();
        digits(number);
        comma = true;
        return this;
    }

    public JsonWriter value(boolean truth) {
        separate();
        bytes(truth ? TRUE : FALSE);
        comma = true;
        return this;
    }

    /** A finite number, else null. */
    public JsonWriter value(double number) {
        separate();
        if (Double.isFinite(number)) {
            ascii(Double.toString(number));
        } else {
            bytes(NULL);
        }
        comma = true;
        return this;
    }

    /** A log-probability with the digits a float has. */
    public JsonWriter logprob(float logprob) {
        separate();
        ascii(Float.isFinite(logprob) ? Float.toString(logprob) : Double.toString(NO_PROBABILITY));
        comma = true;
        return this;
    }

    public JsonWriter nullValue() {
        separate();
        bytes(NULL);
        comma = true;
        return this;
    }

    public JsonWriter ints(int[] values) {
        beginArray();
        for (int value : values) {
            value(value);
        }
        return endArray();
    }

    /** Bytes as they are, outside the comma rules. */
    public JsonWriter bytes(byte[] raw) {
        ensure(raw.length);
        System.arraycopy(raw, 0, buffer, size, raw.length);
        size += raw.length;
        return this;
    }

    /** The escaped text without quotes, outside the comma rules. */
    public JsonWriter escaped(String text) {
        int length = text.length();
        ensure(3 * length + 16);
        for (int i = 0; i < length; i++) {
            char c = text.charAt(i);
            if (c < 0x80) {
                if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f) {
                    buffer[size++] = (byte) c;
                } else {
                    escape(c, length - i);
                }
            } else if (c < 0x800) {
                buffer[size++] = (byte) (0xc0 | c >> 6);
                buffer[size++] = (byte) (0x80 | c & 0x3f);
            } else if (!Character.isSurrogate(c)) {
                threeBytes(c);
            } else if (Character.isHighSurrogate(c) && i + 1 < length && Character.isLowSurrogate(text.charAt(i + 1))) {
                fourBytes(Character.toCodePoint(c, text.charAt(++i)));
            } else {
                threeBytes('\ufffd');
            }
        }
        return this;
    }

    /** What was put as bytes is an object with fields: the next one needs a comma. */
    public JsonWriter continueObject() {
        comma = true;
        return this;
    }

    /** What comes next is a value of its own, whatever was written before. */
    public JsonWriter startValue() {
        comma = false;
        return this;
    }

    /** A copy of what was written. */
    public byte[] toBytes() {
        return Arrays.copyOf(buffer, size);
    }

    /** A copy of what was written, in the form the streams carry. */
    public ByteString toByteString() {
        return ByteString.fromArrayUnsafe(toBytes());
    }

    private void quoted(String text) {
        put('"');
        escaped(text);
        put('"');
    }

    private void threeBytes(char c) {
        buffer[size++] = (byte) (0xe0 | c >> 12);
        buffer[size++] = (byte) (0x80 | c >> 6 & 0x3f);
        buffer[size++] = (byte) (0x80 | c & 0x3f);
    }

    private void fourBytes(int codePoint) {
        buffer[size++] = (byte) (0xf0 | codePoint >> 18);
        buffer[size++] = (byte) (0x80 | codePoint >> 12 & 0x3f);
        buffer[size++] = (byte) (0x80 | codePoint >> 6 & 0x3f);
        buffer[size++] = (byte) (0x80 | codePoint & 0x3f);
    }

    /** One character that needs a backslash; up to six bytes, so the room for the rest is checked again. */
    private void escape(char c, int remainingChars) {
        ensure(3 * remainingChars + 16);
        buffer[size++] = '\\';
        switch (c) {
            case '"', '\\' -> buffer[size++] = (byte) c;
            case '\n' -> buffer[size++] = 'n';
            case '\r' -> buffer[size++] = 'r';
            case '\t' -> buffer[size++] = 't';
            default -> {
                buffer[size++] = 'u';
                buffer[size++] = '0';
                buffer[size++] = '0';
                buffer[size++] = HEX[c >> 4 & 0xf];
                buffer[size++] = HEX[c & 0xf];
            }
        }
    }

    private void digits(long number) {
        if (number < 0 || number > 9_999_999_999L) {
            ascii(Long.toString(number));
            return;
        }
        ensure(MAX_DIGITS);
        int length = 1;
        for (long rest = number / 10; rest > 0; rest /= 10) {
            length++;
        }
        long rest = number;
        for (int at = size + length - 1; at >= size; at--) {
            buffer[at] = (byte) ('0' + rest % 10);
            rest /= 10;
        }
        size += length;
    }

    private void ascii(String text) {
        ensure(text.length());
        for (int i = 0; i < text.length(); i++) {
            buffer[size++] = (byte) text.charAt(i);
        }
    }

    private void separate() {
        if (comma) {
            put(',');
            comma = false;
        }
    }

    private void put(char c) {
        ensure(1);
        buffer[size++] = (byte) c;
    }

    private void ensure(int more) {
        if (buffer.length - size < more) {
            buffer = Arrays.copyOf(buffer, Math.max(buffer.length * 2, size + more));
        }
    }
}
