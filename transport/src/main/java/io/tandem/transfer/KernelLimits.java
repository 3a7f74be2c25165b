package io.tandem.transfer;

import java.io.IOException;
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
        try {
            return Integer.parseInt(
                    Files.readString(Path.of("/proc/sys/net/core", name)).trim());
        } catch (IOException | NumberFormatException e) {
            return FALLBACK_BYTES;
        }
    }
}
