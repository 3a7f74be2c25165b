package io.tandem.weights;

import com.fasterxml.jackson.databind.JsonNode;
import io.tandem.model.ModelConfig;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;

/**
 * A folder in Hugging Face's layout: {@code config.json} and either {@code model.safetensors} or the shards named by {@code
 * model.safetensors.index.json}, all mapped. Each length is checked against the file before it is used.
 */
public final class SafetensorsCheckpoint extends MappedCheckpoint {
    private static final long MAX_HEADER_BYTES = 100L << 20;
    private static final ValueLayout.OfLong U64 = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    private final ModelConfig config;

    private SafetensorsCheckpoint(Path folder, Arena arena) throws IOException {
        super(folder, arena, readShards(folder, arena));
        Path file = folder.resolve("config.json");
        boolean tied = find("lm_head.weight").isEmpty();
        config = FileFault.naming(file, () -> HuggingFaceConfig.read(file, tied));
        WeightShapes.check(folder, this);
    }

    /**
     * Maps a folder.
     *
     * @throws IllegalArgumentException when a file is damaged or holds what is not supported
     */
    public static SafetensorsCheckpoint open(Path folder) throws IOException {
        Arena arena = Arena.ofShared();
        try {
            return new SafetensorsCheckpoint(folder, arena);
        } catch (IOException | RuntimeException | Error e) {
            arena.close();
            throw e;
        }
    }

    private static Map<String, Tensor> readShards(Path folder, Arena arena) throws IOException {
        Map<String, Tensor> all = new LinkedHashMap<>();
        for (String shard : shardNames(folder)) {
            Path file = folder.resolve(shard);
            if (!isWithin(folder, file)) {
                throw new IllegalArgumentException(folder + ": the index names '" + shard + "' outside the folder");
            }
            readShard(file, arena, all);
        }
        return all;
    }

    /** Of absolute paths: that of the folder one is in is no beginning of what lies there. */
    static boolean isWithin(Path folder, Path file) {
        return file.toAbsolutePath()
                .normalize()
                .startsWith(folder.toAbsolutePath().normalize());
    }

    private static Set<String> shardNames(Path folder) throws IOException {
        Path index = folder.resolve("model.safetensors.index.json");
        if (!Files.exists(index)) {
            return Set.of("model.safetensors");
        }
        Set<String> names = new TreeSet<>();
        HuggingFaceFiles.json(index).path("weight_map").forEach(shard -> names.add(shard.asText()));
        if (names.isEmpty()) {
            throw new IllegalArgumentException(index + " has no weight_map");
        }
        return names;
    }

    private static void readShard(Path file, Arena arena, Map<String, Tensor> into) throws IOException {
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
            MemorySegment mapped = channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size(), arena);
            long headerBytes = mapped.byteSize() < 8 ? -1 : mapped.get(U64, 0);
            if (headerBytes < 2 || headerBytes > MAX_HEADER_BYTES || headerBytes > mapped.byteSize() - 8) {
                throw new IllegalArgumentException(file + " is not a safetensors file: its header does not fit");
            }
            byte[] header = mapped.asSlice(8, headerBytes).toArray(ValueLayout.JAVA_BYTE);
            JsonNode entries = HuggingFaceFiles.json(file, header);
            MemorySegment data = mapped.asSlice(8 + headerBytes);
            entries.properties().forEach(entry -> {
                if (!entry.getKey().equals("__metadata__")) {
                    into.put(entry.getKey(), tensor(file, entry.getKey(), entry.getValue(), data));
                }
            });
        }
    }

    private static Tensor tensor(Path file, String name, JsonNode entry, MemorySegment data) {
        TensorType type = type(file, name, entry.path("dtype").asText());
        JsonNode shape = entry.path("shape");
        if (shape.isEmpty() || shape.size() > 2) {
            throw new IllegalArgumentException(
                    file + ": tensor '" + name + "' has " + shape.size() + " dimensions; 1 and 2 are supported");
        }
        int rows = shape.size() == 2 ? shape.get(0).asInt() : 1;
        int cols = shape.get(shape.size() - 1).asInt();
        long from = entry.path("data_offsets").path(0).asLong(-1);
        long end = entry.path("data_offsets").path(1).asLong(-1);
        if (rows <= 0 || cols <= 0 || from < 0 || end > data.byteSize() || end - from != rows * type.rowBytes(cols)) {
            throw new IllegalArgumentException(file + ": tensor '" + name + "' of shape " + shape
                    + " does not fit its offsets [" + from + ", " + end + ")");
        }
        return new Tensor(name, type, rows, cols, data.asSlice(from, end - from));
    }

    private static TensorType type(Path file, String name, String dtype) {
        return switch (dtype) {
            case "F32" -> TensorType.F32;
            case "F16" -> TensorType.F16;
            case "BF16" -> TensorType.BF16;
            default ->
                throw new IllegalArgumentException(
                        file + ": tensor '" + name + "' is " + dtype + "; supported: F32, F16, BF16");
        };
    }

    @Override
    public ModelConfig config() {
        return config;
    }
}
