package io.tandem.transfer;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;

/** What the kernel allows a socket. */
final class KernelLimits {
    private static final int FALLBACK_BYTES = 128 << 10;

    private KernelLimits() {}

    /** The largest socket buffer for both directions; Aeron refuses to start with a larger window. */
    static int socketBufferBytes() {
        return Math.min(read("rmem_max"), read("wmem_max"));
    }

    private static int read(String name) {
        // In one read: the kernel answers a second read of such a number with its end, and Files.readString begins with
        // one byte.
        byte[] digits = new byte[32];
        try (InputStream in = Files.newInputStream(Path.of("/proc/sys/net/core", name))) {
            int length = Math.max(0, in.read(digits));
            return Integer.parseInt(new String(digits, 0, length, StandardCharsets.US_ASCII).trim());
        } catch (IOException | NumberFormatException e) {
            return FALLBACK_BYTES;
        }
    }
}
