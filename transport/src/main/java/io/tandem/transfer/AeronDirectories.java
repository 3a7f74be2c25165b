package io.tandem.transfer;

import io.aeron.CommonContext;
import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.UUID;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.agrona.IoUtil;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Each driver has a directory that names its process, so that what a killed process left behind can be told and removed. Containers
 * may share {@code /dev/shm} and not their numbers of processes: where those are another's, a driver is dead when it has been silent.
 */
final class AeronDirectories {
    static final Path SHM = Path.of("/dev/shm");

    private static final Logger LOG = LoggerFactory.getLogger(AeronDirectories.class);
    private static final String PREFIX = "tandem-aeron-";
    private static final Pattern NAME = Pattern.compile(PREFIX + "(\\d+)-(\\d+)-.+");
    private static final Path NAMESPACE = Path.of("/proc/self/ns/pid");

    /** A live driver tells of itself every second; a host may be busy, and a driver takes a moment to start. */
    private static final Duration SILENCE = Duration.ofMinutes(1);

    private AeronDirectories() {}

    static Path fresh(TransferSettings s) {
        return parent(s)
                .resolve(PREFIX + ProcessHandle.current().pid() + "-" + namespace() + "-"
                        + UUID.randomUUID().toString().substring(0, 8));
    }

    private static Path parent(TransferSettings s) {
        if (!s.directory().isEmpty()) {
            return Path.of(s.directory());
        }
        return Files.isDirectory(SHM) && Files.isWritable(SHM) ? SHM : Path.of(System.getProperty("java.io.tmpdir"));
    }

    /** Within which this process's number names it; 0 where the system does not tell. */
    private static String namespace() {
        try {
            String digits = Files.readSymbolicLink(NAMESPACE).toString().replaceAll("\\D", "");
            return digits.isEmpty() ? "0" : digits;
        } catch (IOException | UnsupportedOperationException e) {
            return "0";
        }
    }

    /** Removes the directories of processes that are gone. */
    static void sweep(TransferSettings s) {
        String namespace = namespace();
        try (DirectoryStream<Path> entries = Files.newDirectoryStream(parent(s), PREFIX + "*")) {
            for (Path entry : entries) {
                Matcher m = NAME.matcher(entry.getFileName().toString());
                if (m.matches() && (m.group(2).equals(namespace) ? isGone(m.group(1)) : isSilent(entry))) {
                    LOG.info("removing {}, left behind by a process that is gone", entry);
                    IoUtil.delete(entry.toFile(), true);
                }
            }
        } catch (IOException | RuntimeException e) {
            LOG.warn("cannot sweep {}: {}", parent(s), e.toString());
        }
    }

    private static boolean isGone(String pid) {
        return ProcessHandle.of(Long.parseLong(pid)).isEmpty();
    }

    private static boolean isSilent(Path directory) throws IOException {
        boolean old = Files.getLastModifiedTime(directory)
                .toInstant()
                .isBefore(Instant.now().minus(SILENCE));
        return old && !CommonContext.isDriverActive(directory.toFile(), SILENCE.toMillis(), text -> {});
    }
}
