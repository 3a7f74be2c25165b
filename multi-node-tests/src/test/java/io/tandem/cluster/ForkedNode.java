package io.tandem.cluster;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** One Tandem node in a JVM of its own, with its output in a file; always reaped by {@link #close()}. */
final class ForkedNode implements AutoCloseable {
    private static final String MAIN = "io.tandem.cli.TandemCommand";
    private static final long STOP_GUARD_SECONDS = 45;
    private static final int TAIL_LINES = 60;

    private final String name;
    private final Process process;
    private final Path log;

    private ForkedNode(String name, Process process, Path log) {
        this.name = name;
        this.process = process;
        this.log = log;
    }

    /**
     * Starts the {@code tandem} command with this JVM's own class path and flags.
     *
     * @param before what goes before the command, such as {@code ip netns exec NAME}
     * @param flags JVM flags of this node
     */
    static ForkedNode start(
            String name, Path directory, List<String> before, List<String> flags, List<String> arguments) {
        List<String> command = new ArrayList<>(before);
        command.add(ProcessHandle.current().info().command().orElse("java"));
        ManagementFactory.getRuntimeMXBean().getInputArguments().stream()
                .filter(a -> a.startsWith("--") || a.startsWith("-XX:CompileCommand"))
                .forEach(command::add);
        command.addAll(List.of("-XX:+UseSerialGC", "-Xmx512m"));
        command.addAll(flags);
        command.add("-Djava.io.tmpdir=" + directory);
        command.addAll(List.of("-cp", System.getProperty("java.class.path"), MAIN));
        command.addAll(arguments);
        Path log = directory.resolve(name + ".log");
        try {
            Process process = new ProcessBuilder(command)
                    .directory(directory.toFile())
                    .redirectErrorStream(true)
                    .redirectOutput(log.toFile())
                    .start();
            return new ForkedNode(name, process, log);
        } catch (IOException e) {
            throw new UncheckedIOException("cannot start node " + name, e);
        }
    }

    boolean isAlive() {
        return process.isAlive();
    }

    /** SIGKILL: no shutdown hook runs. */
    void kill() {
        process.destroyForcibly();
        awaitExit();
    }

    /** SIGTERM, and SIGKILL when that does not end it within the guard; answers the exit code. */
    int stop() {
        process.destroy();
        return awaitExit();
    }

    /** Waits until it has ended by itself; answers the exit code. */
    int awaitEnd() {
        return awaitExit();
    }

    /** SIGSTOP: the process hangs, its sockets stay open. */
    void pause() {
        signal("-STOP");
    }

    /** SIGCONT. */
    void goOn() {
        signal("-CONT");
    }

    private void signal(String signal) {
        try {
            int exit = new ProcessBuilder("kill", signal, Long.toString(process.pid()))
                    .inheritIO()
                    .start()
                    .waitFor();
            if (exit != 0) {
                throw new AssertionError("kill " + signal + " of node " + name + " failed: it has ended\n" + tail());
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException(e);
        }
    }

    private int awaitExit() {
        try {
            if (!process.waitFor(STOP_GUARD_SECONDS, TimeUnit.SECONDS)) {
                process.destroyForcibly();
                process.waitFor();
                throw new AssertionError(
                        "node " + name + " did not stop within " + STOP_GUARD_SECONDS + " s\n" + tail());
            }
            return process.exitValue();
        } catch (InterruptedException e) {
            process.destroyForcibly();
            Thread.currentThread().interrupt();
            throw new IllegalStateException(e);
        }
    }

    /** The last lines of its output, for failure messages. */
    String tail() {
        try {
            List<String> lines = Files.readAllLines(log);
            return "--- " + name + (isAlive() ? "" : ", ended with " + process.exitValue()) + " ---\n"
                    + String.join("\n", lines.subList(Math.max(0, lines.size() - TAIL_LINES), lines.size()));
        } catch (IOException e) {
            return "--- " + name + ": no output (" + e.getMessage() + ") ---";
        }
    }

    @Override
    public void close() {
        if (process.isAlive()) {
            kill();
        }
    }
}
