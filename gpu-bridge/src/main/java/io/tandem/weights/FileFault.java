package io.tandem.weights;

import java.io.IOException;
import java.nio.file.Path;

/** What is wrong with a file is said with its name, whoever finds it. */
public final class FileFault {
    private FileFault() {}

    /** Reads something of a file. */
    @FunctionalInterface
    public interface Reading<T> {
        T read() throws IOException;
    }

    /** @throws IllegalArgumentException that of the reading, with the file in front unless it names it already */
    public static <T> T naming(Path file, Reading<T> reading) throws IOException {
        try {
            return reading.read();
        } catch (IllegalArgumentException e) {
            String message = String.valueOf(e.getMessage());
            throw message.contains(file.toString()) ? e : new IllegalArgumentException(file + ": " + message, e);
        }
    }
}
