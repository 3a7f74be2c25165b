package io.tandem.weights;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.tandem.golden.GoldenFiles;
import io.tandem.model.Models;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;

/** Whatever is in a file, reading it ends in an error that names the file, never in a crash or a huge allocation. */
class DamagedFilesTest {
    private static final ObjectMapper JSON = new ObjectMapper();

    @TempDir
    private Path folder;

    private String refusal(byte[] content) throws IOException {
        Path file = folder.resolve("model.gguf");
        Files.write(file, content);
        Exception e = assertThrows(
                IllegalArgumentException.class, () -> Models.openWeights(file).close());
        assertTrue(e.getMessage().contains("model.gguf"), e.getMessage());
        return e.getMessage();
    }

    private static byte[] gguf(int version, long tensors, long keys, byte[] rest) {
        return ByteBuffer.allocate(24 + rest.length)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putInt(0x46554747)
                .putInt(version)
                .putLong(tensors)
                .putLong(keys)
                .put(rest)
                .array();
    }

    private static byte[] text(String value) {
        byte[] bytes = value.getBytes(StandardCharsets.UTF_8);
        return ByteBuffer.allocate(8 + bytes.length)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putLong(bytes.length)
                .put(bytes)
                .array();
    }

    private static byte[] join(byte[]... parts) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        for (byte[] part : parts) {
            out.writeBytes(part);
        }
        return out.toByteArray();
    }

    private static byte[] number(int bytes, long value) {
        ByteBuffer buffer =
                ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(value);
        return java.util.Arrays.copyOf(buffer.array(), bytes);
    }

    @Test
    void shouldSayWhatIsWrongWithAGgufFile() throws IOException {
        assertTrue(refusal(new byte[0]).contains("is not a GGUF file"));
        assertTrue(refusal("PK and so on, long enough".getBytes(StandardCharsets.UTF_8))
                .contains("is not a GGUF file"));
        assertTrue(refusal(gguf(1, 0, 0, new byte[0])).contains("GGUF version 1"));
        assertTrue(refusal(gguf(3, Long.MAX_VALUE, 0, new byte[0])).contains("tensors; at most"));
        assertTrue(refusal(gguf(3, 0, 1, number(8, 1L << 60))).contains("more than the file holds"));
        assertTrue(refusal(gguf(3, 0, 1, join(text("k"), number(4, 99)))).contains("unknown type 99"));
        byte[] hugeArray = join(text("k"), number(4, 9), number(4, 0), number(8, 1L << 40));
        assertTrue(refusal(gguf(3, 0, 1, hugeArray)).contains("more than the file holds"));
        byte[] tensor = join(text("t"), number(4, 1), number(8, 256), number(4, 12), number(8, 0));
        assertTrue(refusal(gguf(3, 1, 0, tensor)).contains("stores tensor 't' as Q4_K; supported are"));
        byte[] beyond = join(text("t"), number(4, 1), number(8, 256), number(4, 0), number(8, 1L << 50));
        assertTrue(refusal(gguf(3, 1, 0, beyond)).contains("cut short or damaged"));
    }

    /** A real header with bytes flipped or its end missing. */
    @Test
    void shouldNeverCrashOnADamagedHeader() throws IOException {
        byte[] header = java.util.Arrays.copyOf(readStart(GoldenFiles.model(), 1 << 16), 1 << 16);
        Random random = new Random(42);
        Path file = folder.resolve("model.gguf");
        for (int round = 0; round < 200; round++) {
            byte[] damaged = java.util.Arrays.copyOf(header, 24 + random.nextInt(header.length - 24));
            for (int i = 0; i < 1 + round % 4; i++) {
                damaged[8 + random.nextInt(Math.min(200, damaged.length - 8))] = (byte) random.nextInt();
            }
            Files.write(file, damaged);
            assertThrows(
                    IllegalArgumentException.class,
                    () -> Models.openWeights(file).close());
        }
    }

    private static byte[] readStart(Path file, int bytes) throws IOException {
        try (var in = Files.newInputStream(file)) {
            return in.readNBytes(bytes);
        }
    }

    @Test
    void shouldSayWhatIsWrongWithASafetensorsFolder() throws IOException {
        assertTrue(message(folder).contains("no config.json"));
        Files.copy(GoldenFiles.folder("tiny/llama").resolve("config.json"), folder.resolve("config.json"));
        Path file = folder.resolve("model.safetensors");
        Files.write(file, number(8, 1L << 40));
        assertTrue(message(folder).contains("its header does not fit"));
        String entry = "{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,99]}}";
        Files.write(file, join(text(entry), new byte[16]));
        assertTrue(message(folder).contains("does not fit its offsets"));
        Files.writeString(
                folder.resolve("model.safetensors.index.json"), "{\"weight_map\":{\"a\":\"../outside.safetensors\"}}");
        assertTrue(message(folder).contains("outside the folder"));
        assertEquals(
                folder.resolve("none")
                        + " does not exist; give a GGUF file or a folder with config.json and safetensors",
                message(folder.resolve("none")));
    }

    /** A whole model, one of whose tensors or figures is not what the others say. */
    @Test
    void shouldNotTakeATensorOfAnotherShape() throws IOException {
        Path whole = copyOfTiny();
        Path config = whole.resolve("config.json");
        String text = Files.readString(config);
        for (String field :
                List.of("hidden_size", "vocab_size", "intermediate_size", "head_dim", "num_hidden_layers")) {
            JsonNode changed = JSON.readTree(text);
            int was = changed.path(field).asInt(16);
            ((ObjectNode) changed).put(field, 2 * was);
            Files.writeString(config, changed.toString());
            String said = message(whole);
            assertTrue(said.contains("tensor '") && said.contains(whole.toString()), field + ": " + said);
        }
        for (String field : List.of("num_attention_heads", "num_key_value_heads", "head_dim")) {
            Files.writeString(
                    config, ((ObjectNode) JSON.readTree(text)).put(field, 0).toString());
            assertTrue(message(whole).contains(config + ": " + field + " must be a positive number"), message(whole));
        }
        Files.writeString(config, "{\"model_type\": llama}");
        assertTrue(message(whole).contains(config + " holds no JSON"), message(whole));
    }

    /** Figures that are numbers each and make no model together. */
    @Test
    void shouldNameTheFileOfAConfigurationThatIsNone() throws IOException {
        Path whole = copyOfTiny();
        Path config = whole.resolve("config.json");
        ObjectNode text = (ObjectNode) JSON.readTree(Files.readString(config));
        Files.writeString(config, text.deepCopy().put("num_key_value_heads", 3).toString());
        assertEquals(config + ": heads 8 is not a multiple of kv heads 3", message(whole));
        ObjectNode scaled = text.deepCopy();
        scaled.remove("rope_parameters");
        scaled.putObject("rope_scaling").put("rope_type", "linear").put("factor", 0);
        Files.writeString(config, scaled.toString());
        assertEquals(config + ": rope scaling: factor must be a positive number, not 0.0", message(whole));

        Path file = folder.resolve("model.gguf");
        try (Checkpoint source = Models.openWeights(GoldenFiles.folder("tiny/llama"))) {
            GgufWriter.write(source, "llama", file, Map.of("llama.attention.head_count_kv", 3));
        }
        assertEquals(file + ": heads 8 is not a multiple of kv heads 3", message(file));
    }

    @Test
    void shouldNameTheFileOfATokenizerOrATemplateThatIsNone() throws IOException {
        Path file = folder.resolve("model.gguf");
        try (Checkpoint source = Models.openWeights(GoldenFiles.folder("tiny/llama"))) {
            GgufWriter.write(source, "llama", file, Map.of("tokenizer.ggml.model", "llama"));
            assertEquals(
                    file + ": tokenizer model 'llama' is not supported; supported: gpt2 (byte-level BPE)",
                    refusal(() -> Models.open(file, "").tokenizer().vocabSize()));
            GgufWriter.write(source, "llama", file, Map.of("tokenizer.chat_template", "a\n{% bad %}"));
            String said = refusal(() -> Models.open(file, ""));
            assertTrue(said.startsWith(file + ": its chat template, line 2: "), said);
        }
        Path whole = copyOfTiny();
        Files.writeString(whole.resolve("tokenizer.json"), """
                {"model": {"vocab": {"a": 0}}, "pre_tokenizer":
                 {"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated"}}""");
        String said = refusal(() -> Models.open(whole, "").tokenizer().vocabSize());
        assertTrue(said.startsWith(whole.resolve("tokenizer.json") + ": "), said);
    }

    private static String refusal(Executable reading) {
        return assertThrows(IllegalArgumentException.class, reading).getMessage();
    }

    private Path copyOfTiny() throws IOException {
        Path copy = Files.createDirectory(folder.resolve("tiny"));
        try (Stream<Path> files = Files.list(GoldenFiles.folder("tiny/llama"))) {
            for (Path file : files.toList()) {
                Files.copy(file, copy.resolve(file.getFileName()));
            }
        }
        return copy;
    }

    @Test
    void shouldFindAShardInTheFolderOneIsIn() {
        for (String folder : List.of(".", "..", "model", "../model", "/model")) {
            Path here = Path.of(folder);
            assertTrue(SafetensorsCheckpoint.isWithin(here, here.resolve("model.safetensors")), folder);
            assertFalse(SafetensorsCheckpoint.isWithin(here, here.resolve("../model.safetensors")), folder);
        }
    }

    @Test
    void shouldSayWhichFigureOfAGgufFileIsNone() throws IOException {
        Path file = folder.resolve("tiny.gguf");
        try (Checkpoint source = Models.openWeights(GoldenFiles.folder("tiny/llama"))) {
            GgufWriter.write(source, "llama", file);
        }
        byte[] whole = Files.readAllBytes(file);
        for (String key : List.of("llama.attention.head_count", "llama.block_count", "llama.context_length")) {
            byte[] damaged = whole.clone();
            int at = indexOf(damaged, key.getBytes(StandardCharsets.UTF_8)) + key.length() + 4;
            ByteBuffer.wrap(damaged).order(ByteOrder.LITTLE_ENDIAN).putInt(at, 0);
            assertTrue(refusal(damaged).contains("'" + key + "' must be positive, not 0"), refusal(damaged));
        }
    }

    private static int indexOf(byte[] bytes, byte[] part) {
        int at = 0;
        while (!java.util.Arrays.equals(bytes, at, at + part.length, part, 0, part.length)) {
            at++;
        }
        return at;
    }

    private static String message(Path path) {
        return assertThrows(
                        IllegalArgumentException.class,
                        () -> Models.openWeights(path).close())
                .getMessage();
    }
}
