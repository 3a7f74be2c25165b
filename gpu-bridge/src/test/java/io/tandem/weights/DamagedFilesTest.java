package io.tandem.weights;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.tandem.golden.GoldenFiles;
import io.tandem.model.Models;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Whatever is in a file, reading it ends in an error that names the file, never in a crash or a huge allocation. */
class DamagedFilesTest {
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

    private static String message(Path path) {
        return assertThrows(
                        IllegalArgumentException.class,
                        () -> Models.openWeights(path).close())
                .getMessage();
    }
}
