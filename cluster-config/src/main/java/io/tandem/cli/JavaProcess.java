package io.tandem.cli;

import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** A node in a JVM of its own, with this JVM's flags and class path. */
final class JavaProcess {
    private static final long STOP_SECONDS = 30;

    private JavaProcess() {}

    /**
     * Starts {@code tandem node}, with the flags the launcher gives one.
     *
     * @param flags JVM flags besides those every Tandem JVM runs with
     * @param options options of {@code tandem node}
     */
    static Process startNode(Path log, List<String> flags, List<String> options) throws IOException {
        List<String> command = new ArrayList<>();
        command.add(ProcessHandle.current().info().command().orElse("java"));
        ManagementFactory.getRuntimeMXBean().getInputArguments().stream()
                .filter(a -> a.startsWith("--") || a.startsWith("-XX:-Omit") || a.startsWith("-XX:CompileCommand"))
                .filter(a -> !a.contains("CompileThresholdScaling"))
                .forEach(command::add);
        command.addAll(List.of("-XX:+UseSerialGC", "-Xmx320m", "-Xlog:disable", "-Xlog:all=error:stderr"));
        command.addAll(flagsOf("tandem.node-flags"));
        command.addAll(flags);
        command.addAll(List.of("-cp", System.getProperty("java.class.path"), TandemCommand.class.getName(), "node"));
        command.addAll(options);
        command.addAll(List.of(
                "--profile",
                "quickstart",
                "--parent-pid",
                Long.toString(ProcessHandle.current().pid())));
        return new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(log.toFile())
                .start();
    }

    /** JVM flags that the launcher hands over in a property, apart by spaces. */
    static List<String> flagsOf(String property) {
        String flags = System.getProperty(property, "");
        return flags.isBlank() ? List.of() : List.of(flags.split(" "));
    }

    /** Waits for the end of a process that was told to end. */
    static void awaitEnd(Process process) {
        try {
            if (!process.waitFor(STOP_SECONDS, TimeUnit.SECONDS)) {
                process.destroyForcibly();
            }
        } catch (InterruptedException e) {
            process.destroyForcibly();
            Thread.currentThread().interrupt();
        }
    }
}
