package io.tandem.compute.cpu;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;

/** Runs llama.cpp's benchmarks once and reads their tokens a second. */
final class LlamaBench {
    private static final long LIMIT_MINUTES = 5;
    private static final ObjectMapper JSON = new ObjectMapper();

    private LlamaBench() {}

    static boolean isExecutable(Path binary) {
        return Files.isExecutable(binary);
    }

    /** A prompt or a generation (the other 0), after {@code depth} tokens of context. */
    static double single(Path binary, Path model, int threads, int prompt, int generated, int depth)
            throws IOException, InterruptedException {
        List<String> lines = run(List.of(
                binary.toString(),
                "-m",
                model.toString(),
                "-t",
                Integer.toString(threads),
                "-p",
                Integer.toString(prompt),
                "-n",
                Integer.toString(generated),
                "-d",
                Integer.toString(depth),
                "-r",
                "1",
                "-o",
                "jsonl"));
        return lines.stream()
                .filter(l -> l.contains("\"avg_ts\""))
                .findFirst()
                .map(l -> read(l).path("avg_ts").asDouble())
                .orElseThrow(() -> new IOException(binary + " printed no result: " + lines));
    }

    /** Batched decode; answers one speed for each batch. */
    static double[] batched(Path binary, Path model, int threads, int prompt, int generated, List<Integer> batches)
            throws IOException, InterruptedException {
        List<String> lines = run(List.of(
                binary.toString(),
                "-m",
                model.toString(),
                "-t",
                Integer.toString(threads),
                "-c",
                "4096",
                "-npp",
                Integer.toString(prompt),
                "-ntg",
                Integer.toString(generated),
                "-npl",
                batches.stream().map(String::valueOf).collect(Collectors.joining(",")),
                "--output-format",
                "jsonl"));
        double[] speeds = new double[batches.size()];
        for (String line : lines) {
            if (line.startsWith("{") && line.contains("\"speed_tg\"")) {
                JsonNode node = read(line);
                int index = batches.indexOf(node.path("pl").asInt());
                if (index >= 0) {
                    speeds[index] = node.path("speed_tg").asDouble();
                }
            }
        }
        if (Arrays.stream(speeds).anyMatch(s -> s <= 0)) {
            throw new IOException(binary + " left batches out: " + lines);
        }
        return speeds;
    }

    private static JsonNode read(String line) {
        try {
            return JSON.readTree(line);
        } catch (IOException e) {
            throw new IllegalStateException("llama.cpp printed a line that is no JSON: " + line, e);
        }
    }

    private static List<String> run(List<String> command) throws IOException, InterruptedException {
        Process process = new ProcessBuilder(command)
                .redirectError(ProcessBuilder.Redirect.DISCARD)
                .start();
        try (var output = process.getInputStream()) {
            String text = new String(output.readAllBytes(), StandardCharsets.UTF_8);
            if (!process.waitFor(LIMIT_MINUTES, TimeUnit.MINUTES) || process.exitValue() != 0) {
                throw new IOException(command + " failed; run it by hand to see why");
            }
            return text.lines().toList();
        } finally {
            process.destroy();
        }
    }
}
