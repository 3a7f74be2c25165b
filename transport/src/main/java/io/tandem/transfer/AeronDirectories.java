package io.tandem.transfer;

import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.UUID;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.agrona.IoUtil;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Each driver has a directory that names its process, so that what a killed process left behind can be told and removed. */
final class AeronDirectories {
    static final Path SHM = Path.of("/dev/shm");

    private static final Logger LOG = LoggerFactory.getLogger(AeronDirectories.class);
    private static final Pattern NAME = Pattern.compile("tandem-aeron-(\\d+)-.+");

    private AeronDirectories() {}

    static Path fresh(TransferSettings s) {
        return parent(s)
                .resolve("tandem-aeron-" + ProcessHandle.current().pid() + "-"
                        + UUID.randomUUID().toString().substring(0, 8));
    }

    private static Path parent(TransferSettings s) {
        if (!s.directory().isEmpty()) {
            return Path.of(s.directory());
        }
        return Files.isDirectory(SHM) && Files.isWritable(SHM) ? SHM : Path.of(System.getProperty("java.io.tmpdir"));
    }

    /** Removes the directories of processes that are gone. */
    static void sweep(TransferSettings s) {
        try (DirectoryStream<Path> entries = Files.newDirectoryStream(parent(s), "tandem-aeron-*")) {
            for (Path entry : entries) {
                Matcher m = NAME.matcher(entry.getFileName().toString());
                if (m.matches() && ProcessHandle.of(Long.parseLong(m.group(1))).isEmpty()) {
                    LOG.info("removing {}, left behind by a process that is gone", entry);
                    IoUtil.delete(entry.toFile(), true);
                }
            }
        } catch (IOException | RuntimeException e) {
            LOG.warn("cannot sweep {}: {}", parent(s), e.toString());
        }
    }
}
