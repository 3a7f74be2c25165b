package io.tandem.simulation;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.IOException;
import java.nio.charset.MalformedInputException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.LocalDateTime;
import java.time.format.DateTimeParseException;

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
            eachLine(in, name, 1, line -> {
                JsonNode one = json.readTree(line);
                trace.add(
                        Math.round(number(one, "timestamp").asDouble() * 1e6),
                        count(one, "input_length"),
                        count(one, "output_length"),
                        ids(one.path("hash_ids")));
            });
        }
        return trace.build();
    }

    private static JsonNode number(JsonNode one, String name) {
        JsonNode value = one.path(name);
        if (!value.isNumber()) {
            throw new IllegalArgumentException("field " + name + " must be a number");
        }
        return value;
    }

    private static int count(JsonNode one, String name) {
        JsonNode value = number(one, name);
        if (!value.canConvertToInt()) {
            throw new IllegalArgumentException("field " + name + " must be below 2^31, not " + value);
        }
        return value.asInt();
    }

    private static int[] ids(JsonNode list) {
        int[] ids = new int[list.size()];
        for (int i = 0; i < ids.length; i++) {
            if (!list.get(i).canConvertToInt()) {
                throw new IllegalArgumentException("hash_ids must hold integers below 2^31");
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
            LocalDateTime[] first = new LocalDateTime[1];
            eachLine(in, name, 2, line -> {
                String[] columns = line.split(",", -1);
                if (columns.length != 3) {
                    throw new IllegalArgumentException(columns.length + " columns, not 3");
                }
                LocalDateTime at = LocalDateTime.parse(columns[0].strip().replace(' ', 'T'));
                first[0] = first[0] == null ? at : first[0];
                trace.add(
                        Duration.between(first[0], at).toNanos(),
                        Integer.parseInt(columns[1].strip()),
                        Integer.parseInt(columns[2].strip()),
                        NO_IDS);
            });
        } catch (MalformedInputException e) {
            throw new IllegalArgumentException(name + " is no UTF-8 text", e);
        }
        return trace.build();
    }

    private interface Line {
        void read(String text) throws IOException;
    }

    /** Whatever is wrong with a line is said with the file's name and the line's number. */
    private static void eachLine(BufferedReader in, String name, int firstNumber, Line reader) throws IOException {
        int number = firstNumber - 1;
        try {
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                number++;
                if (!line.isBlank()) {
                    reader.read(line);
                }
            }
        } catch (JsonProcessingException e) {
            throw wrong(name, number, "no JSON object: " + e.getOriginalMessage(), e);
        } catch (DateTimeParseException e) {
            throw wrong(
                    name, number, "TIMESTAMP '" + e.getParsedString() + "' is none such as 2023-11-16 18:17:03.97", e);
        } catch (NumberFormatException e) {
            throw wrong(name, number, "ContextTokens and GeneratedTokens must be whole numbers below 2^31", e);
        } catch (IllegalArgumentException e) {
            throw wrong(name, number, e.getMessage(), e);
        } catch (MalformedInputException e) {
            throw wrong(name, number + 1, "no UTF-8 text", e);
        }
    }

    private static IllegalArgumentException wrong(String name, int number, String what, Exception cause) {
        return new IllegalArgumentException(name + ", line " + number + ": " + what, cause);
    }
}
