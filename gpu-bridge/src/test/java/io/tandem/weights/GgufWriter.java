package io.tandem.weights;

import io.tandem.model.ModelConfig;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Writes a checkpoint as a GGUF file the way llama.cpp's converter does: its names, its order of q and k rows. */
public final class GgufWriter {
    private static final int ALIGNMENT = 32;
    private static final int F32 = 0;
    private static final int BF16 = 30;

    private GgufWriter() {}

    public static void write(Checkpoint source, String architecture, Path file) throws IOException {
        write(source, architecture, file, Map.of());
    }

    /** @param more metadata besides what the checkpoint says */
    static void write(Checkpoint source, String architecture, Path file, Map<String, Object> more) throws IOException {
        ModelConfig c = source.config();
        List<byte[]> bodies = new ArrayList<>();
        Buffer infos = new Buffer();
        long offset = 0;
        List<String> names = source.tensorNames().stream().sorted().toList();
        for (String name : names) {
            Tensor t = source.tensor(name);
            byte[] body = t.data().toArray(ValueLayout.JAVA_BYTE);
            if (architecture.equals("llama") && name.matches(".*[qk]_proj\\.weight")) {
                int heads = name.contains("q_proj") ? c.heads() : c.kvHeads();
                body = interleave(body, heads, c.headDim(), (int) t.rowBytes());
            }
            infos.text(ggufName(name));
            boolean vector = t.rows() == 1;
            infos.u32(vector ? 1 : 2).u64(t.cols());
            if (!vector) {
                infos.u64(t.rows());
            }
            infos.u32(t.type() == TensorType.F32 ? F32 : BF16).u64(offset);
            bodies.add(body);
            offset += (body.length + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        }
        Buffer head = new Buffer();
        Map<String, Object> keys = keys(c, architecture);
        keys.putAll(more);
        head.u32(0x46554747).u32(3).u64(names.size()).u64(keys.size());
        keys.forEach(head::entry);
        head.bytes.writeBytes(infos.bytes.toByteArray());
        head.pad();
        try (OutputStream out = Files.newOutputStream(file)) {
            out.write(head.bytes.toByteArray());
            for (byte[] body : bodies) {
                Buffer padded = new Buffer();
                padded.bytes.writeBytes(body);
                padded.pad();
                out.write(padded.bytes.toByteArray());
            }
        }
    }

    private static Map<String, Object> keys(ModelConfig c, String architecture) {
        Map<String, Object> keys = new LinkedHashMap<>();
        keys.put("general.architecture", architecture);
        String p = architecture + ".";
        keys.put(p + "embedding_length", c.hiddenSize());
        keys.put(p + "attention.head_count", c.heads());
        keys.put(p + "attention.head_count_kv", c.kvHeads());
        if (c.headDim() * c.heads() != c.hiddenSize()) {
            keys.put(p + "attention.key_length", c.headDim());
        }
        keys.put(p + "block_count", c.layers());
        keys.put(p + "feed_forward_length", c.intermediateSize());
        keys.put(p + "attention.layer_norm_rms_epsilon", c.normEps());
        keys.put(p + "rope.freq_base", (float) c.ropeTheta());
        keys.put(p + "context_length", c.maxContextTokens());
        return keys;
    }

    /** Rows of each head from halves (0, d/2, ...) to neighbours (0, 1, ...). */
    private static byte[] interleave(byte[] rows, int heads, int headDim, int rowBytes) {
        byte[] out = new byte[rows.length];
        for (int h = 0; h < heads; h++) {
            for (int i = 0; i < headDim / 2; i++) {
                for (int j = 0; j < 2; j++) {
                    int from = h * headDim + j * headDim / 2 + i;
                    int to = h * headDim + 2 * i + j;
                    System.arraycopy(rows, from * rowBytes, out, to * rowBytes, rowBytes);
                }
            }
        }
        return out;
    }

    private static String ggufName(String name) {
        return name.replace("model.embed_tokens", "token_embd")
                .replace("lm_head", "output")
                .replaceFirst("^model\\.norm", "output_norm")
                .replace("model.layers.", "blk.")
                .replace("input_layernorm", "attn_norm")
                .replace("post_attention_layernorm", "ffn_norm")
                .replace("self_attn.o_proj", "attn_output")
                .replaceFirst("self_attn\\.([qkv])_proj", "attn_$1")
                .replaceFirst("self_attn\\.([qk])_norm", "attn_$1_norm")
                .replaceFirst("mlp\\.(gate|up|down)_proj", "ffn_$1");
    }

    private static final class Buffer {
        final ByteArrayOutputStream bytes = new ByteArrayOutputStream();

        Buffer u32(int v) {
            bytes.writeBytes(ByteBuffer.allocate(4)
                    .order(ByteOrder.LITTLE_ENDIAN)
                    .putInt(v)
                    .array());
            return this;
        }

        Buffer u64(long v) {
            bytes.writeBytes(ByteBuffer.allocate(8)
                    .order(ByteOrder.LITTLE_ENDIAN)
                    .putLong(v)
                    .array());
            return this;
        }

        void text(String s) {
            byte[] utf8 = s.getBytes(StandardCharsets.UTF_8);
            u64(utf8.length);
            bytes.writeBytes(utf8);
        }

        void entry(String key, Object value) {
            text(key);
            switch (value) {
                case Integer i -> u32(4).u32(i);
                case Float f -> u32(6).u32(Float.floatToRawIntBits(f));
                default -> {
                    u32(8);
                    text(value.toString());
                }
            }
        }

        void pad() {
            while (bytes.size() % ALIGNMENT != 0) {
                bytes.write(0);
            }
        }
    }
}
