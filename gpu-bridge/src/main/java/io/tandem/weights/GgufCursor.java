package io.tandem.weights;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;

/**
 * Reads a little-endian file front to back, through a window on the heap: a vocabulary has a hundred thousand entries, and
 * accesses to an array are fast long before the compiler has seen them, those to a mapped segment are not.
 */
final class GgufCursor {
    private static final int WINDOW_BYTES = 1 << 16;

    private final String source;
    private final MemorySegment file;
    private final byte[] window = new byte[WINDOW_BYTES];
    private long windowStart;
    private int at;
    private int end;

    GgufCursor(String source, MemorySegment file, long position) {
        this.source = source;
        this.file = file;
        this.windowStart = position;
    }

    /** Another cursor over the same file. */
    GgufCursor from(long position) {
        return new GgufCursor(source, file, position);
    }

    long position() {
        return windowStart + at;
    }

    long remaining() {
        return file.byteSize() - position();
    }

    int u8() {
        need(1);
        return window[at++] & 0xff;
    }

    int u16() {
        return u8() | u8() << 8;
    }

    int u32() {
        need(4);
        int i = at;
        at += 4;
        return window[i] & 0xff | (window[i + 1] & 0xff) << 8 | (window[i + 2] & 0xff) << 16 | window[i + 3] << 24;
    }

    long u64() {
        return u32() & 0xffffffffL | (long) u32() << 32;
    }

    String string() {
        int length = stringLength();
        if (length <= WINDOW_BYTES) {
            need(length);
            at += length;
            return new String(window, at - length, length, StandardCharsets.UTF_8);
        }
        byte[] bytes = file.asSlice(position(), length).toArray(ValueLayout.JAVA_BYTE);
        skip(length);
        return new String(bytes, StandardCharsets.UTF_8);
    }

    void skipString() {
        skip(stringLength());
    }

    private int stringLength() {
        long length = u64();
        if (length < 0 || length > Math.min(remaining(), Integer.MAX_VALUE)) {
            throw broken("announces a text of " + length + " bytes, more than the file holds");
        }
        return (int) length;
    }

    void skip(long bytes) {
        if (bytes > remaining()) {
            throw broken("is cut short at byte " + position());
        }
        if (bytes <= end - at) {
            at += (int) bytes;
        } else {
            windowStart = position() + bytes;
            at = 0;
            end = 0;
        }
    }

    private void need(int bytes) {
        if (end - at >= bytes) {
            return;
        }
        if (bytes > remaining()) {
            throw broken("is cut short at byte " + position());
        }
        windowStart += at;
        at = 0;
        end = (int) Math.min(WINDOW_BYTES, file.byteSize() - windowStart);
        MemorySegment.copy(file, ValueLayout.JAVA_BYTE, windowStart, window, 0, end);
    }

    IllegalArgumentException broken(String what) {
        return new IllegalArgumentException(source + " " + what);
    }
}
