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

    /** Kernels are compiled early, all else late, as {@code ./tandem node} has it. */
    private static final List<String> PATIENT = List.of(
            "-XX:Tier4InvocationThreshold=50000",
            "-XX:Tier4MinInvocationThreshold=6000",
            "-XX:Tier4CompileThreshold=150000",
            "-XX:Tier4BackEdgeThreshold=400000",
            early("jdk.incubator.vector.*"),
            early("io.tandem.compute.cpu.PackedKernels"),
            early("io.tandem.compute.cpu.VectorKernels"),
            early("io.tandem.compute.cpu.VectorAttention"));

    private static String early(String classes) {
        return "-XX:CompileCommand=CompileThresholdScaling," + classes + "::*,0.01";
    }

    private JavaProcess() {}

    /**
     * Starts {@code tandem node}.
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
        command.addAll(PATIENT);
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
