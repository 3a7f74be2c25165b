package io.tandem.cli;

import java.nio.file.Files;
import java.nio.file.Path;

/** Files that a command writes at its end: what is wrong with them is said before the work, not after it. */
final class OutputFile {
    private OutputFile() {}

    /** @param file null = not asked for */
    static void check(String option, Path file) {
        if (file == null) {
            return;
        }
        Path folder = file.toAbsolutePath().getParent();
        if (folder == null || Files.isDirectory(file)) {
            throw new IllegalArgumentException(option + ": " + file + " is a folder; name a file");
        }
        if (!Files.isDirectory(folder)) {
            throw new IllegalArgumentException(option + ": there is no folder " + folder + "; make it first");
        }
        if (!Files.isWritable(Files.exists(file) ? file : folder)) {
            throw new IllegalArgumentException(option + ": " + file + " may not be written");
        }
    }
}
