package io.tandem.simulation;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.LocalDateTime;

/**
 * Reads public request traces: Mooncake's JSONL ({@code timestamp} in ms, {@code input_length}, {@code output_length},
 * {@code hash_ids}, one for each 512 tokens) and Azure's CSV ({@code TIMESTAMP,ContextTokens,GeneratedTokens}).
 */
public final class TraceFiles {
    private static final int MOONCAKE_BLOCK_TOKENS = 512;
    private static final int[] NO_IDS = {};

    private TraceFiles() {}

    /**
     * Reads a file by its name's ending, {@code .jsonl} or {@code .csv}.
     *
     * @throws IllegalArgumentException naming the line and the field that is wrong
     */
    public static Trace read(Path file) throws IOException {
        String name = file.getFileName() == null ? "" : file.getFileName().toString();
        if (name.endsWith(".jsonl")) {
            return mooncake(file, name);
        }
        if (name.endsWith(".csv")) {
            return azure(file, name);
        }
        throw new IllegalArgumentException("trace " + file + " must end in .jsonl (Mooncake) or .csv (Azure)");
    }

    private static Trace mooncake(Path file, String name) throws IOException {
        ObjectMapper json = new ObjectMapper();
        Trace.Builder trace = new Trace.Builder(name, MOONCAKE_BLOCK_TOKENS);
        try (BufferedReader in = Files.newBufferedReader(file)) {
            int number = 0;
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                number++;
                if (line.isBlank()) {
                    continue;
                }
                JsonNode one = json.readTree(line);
                trace.add(
                        Math.round(field(one, "timestamp", number).asDouble() * 1e6),
                        field(one, "input_length", number).asInt(),
                        field(one, "output_length", number).asInt(),
                        ids(one.path("hash_ids"), number));
            }
        }
        return trace.build();
    }

    private static JsonNode field(JsonNode one, String name, int line) {
        JsonNode value = one.path(name);
        if (!value.isNumber()) {
            throw new IllegalArgumentException("line " + line + ": field " + name + " must be a number");
        }
        return value;
    }

    private static int[] ids(JsonNode list, int line) {
        int[] ids = new int[list.size()];
        for (int i = 0; i < ids.length; i++) {
            if (!list.get(i).canConvertToInt()) {
                throw new IllegalArgumentException("line " + line + ": hash_ids must hold integers below 2^31");
            }
            ids[i] = list.get(i).asInt();
        }
        return ids;
    }

    private static Trace azure(Path file, String name) throws IOException {
        Trace.Builder trace = new Trace.Builder(name, MOONCAKE_BLOCK_TOKENS);
        try (BufferedReader in = Files.newBufferedReader(file)) {
            String header = in.readLine();
            if (header == null || !header.strip().equals("TIMESTAMP,ContextTokens,GeneratedTokens")) {
                throw new IllegalArgumentException(
                        file + " must begin with the line TIMESTAMP,ContextTokens,GeneratedTokens");
            }
            LocalDateTime first = null;
            int number = 1;
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                number++;
                String[] columns = line.split(",", -1);
                if (columns.length != 3) {
                    throw new IllegalArgumentException("line " + number + " has " + columns.length + " columns, not 3");
                }
                LocalDateTime at = LocalDateTime.parse(columns[0].strip().replace(' ', 'T'));
                first = first == null ? at : first;
                trace.add(
                        Duration.between(first, at).toNanos(),
                        Integer.parseInt(columns[1].strip()),
                        Integer.parseInt(columns[2].strip()),
                        NO_IDS);
            }
        }
        return trace.build();
    }
}
