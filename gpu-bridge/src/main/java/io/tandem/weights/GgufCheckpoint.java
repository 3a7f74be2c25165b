package io.tandem.weights;

import io.tandem.model.ModelConfig;
import io.tandem.model.ModelFamily;
import io.tandem.model.RopeScaling;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** A mapped GGUF file of a Llama-like family under Hugging Face's tensor names. */
public final class GgufCheckpoint extends MappedCheckpoint {
    /** GGUF architectures this reader understands. */
    public static final Set<String> ARCHITECTURES = Set.of("llama", "qwen2", "qwen3");

    private static final Pattern LAYER = Pattern.compile("blk\\.(\\d+)\\.(.+)");
    private static final Map<String, String> OUTSIDE_LAYERS = Map.of(
            "token_embd.weight", "model.embed_tokens.weight",
            "output_norm.weight", "model.norm.weight",
            "output.weight", "lm_head.weight");
    private static final Map<String, String> IN_LAYER = Map.ofEntries(
            Map.entry("attn_norm.weight", "input_layernorm.weight"),
            Map.entry("attn_q.weight", "self_attn.q_proj.weight"),
            Map.entry("attn_k.weight", "self_attn.k_proj.weight"),
            Map.entry("attn_v.weight", "self_attn.v_proj.weight"),
            Map.entry("attn_q.bias", "self_attn.q_proj.bias"),
            Map.entry("attn_k.bias", "self_attn.k_proj.bias"),
            Map.entry("attn_v.bias", "self_attn.v_proj.bias"),
            Map.entry("attn_q_norm.weight", "self_attn.q_norm.weight"),
            Map.entry("attn_k_norm.weight", "self_attn.k_norm.weight"),
            Map.entry("attn_output.weight", "self_attn.o_proj.weight"),
            Map.entry("ffn_norm.weight", "post_attention_layernorm.weight"),
            Map.entry("ffn_gate.weight", "mlp.gate_proj.weight"),
            Map.entry("ffn_up.weight", "mlp.up_proj.weight"),
            Map.entry("ffn_down.weight", "mlp.down_proj.weight"));
    private static final ValueLayout.OfFloat F32 = ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    private final Path path;
    private final GgufMetadata metadata;
    private final ModelConfig config;

    private GgufCheckpoint(Path path, Arena arena, GgufReader.Header header) {
        super(path, arena, rename(header.tensors()));
        this.path = path;
        metadata = header.metadata();
        config = readConfig();
        WeightShapes.check(path, this);
    }

    /**
     * Maps a file; its pages are read as they are touched and shared between processes.
     *
     * @throws IllegalArgumentException when it is no GGUF file, is damaged, or holds what is not supported
     */
    public static GgufCheckpoint open(Path path) throws IOException {
        Arena arena = Arena.ofShared();
        try (FileChannel channel = FileChannel.open(path, StandardOpenOption.READ)) {
            MemorySegment file = channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size(), arena);
            return FileFault.naming(
                    path, () -> new GgufCheckpoint(path, arena, new GgufReader(path.toString(), file).read()));
        } catch (IOException | RuntimeException | Error e) {
            arena.close();
            throw e;
        }
    }

    public GgufMetadata metadata() {
        return metadata;
    }

    private static Map<String, Tensor> rename(Map<String, Tensor> stored) {
        Map<String, Tensor> renamed = new LinkedHashMap<>();
        stored.forEach((name, tensor) -> renamed.put(huggingFaceName(name), tensor));
        return renamed;
    }

    private static String huggingFaceName(String name) {
        Matcher layer = LAYER.matcher(name);
        if (layer.matches() && IN_LAYER.containsKey(layer.group(2))) {
            return "model.layers." + layer.group(1) + "." + IN_LAYER.get(layer.group(2));
        }
        return OUTSIDE_LAYERS.getOrDefault(name, name);
    }

    private ModelConfig readConfig() {
        String architecture = metadata.string("general.architecture");
        if (!ARCHITECTURES.contains(architecture)) {
            throw new IllegalArgumentException(path + " holds a model of the architecture '" + architecture
                    + "'; supported in GGUF files: " + ARCHITECTURES);
        }
        String p = architecture + ".";
        int hidden = metadata.positive(p + "embedding_length");
        int heads = metadata.positive(p + "attention.head_count");
        int kvHeads =
                metadata.has(p + "attention.head_count_kv") ? metadata.positive(p + "attention.head_count_kv") : heads;
        int headDim = metadata.has(p + "attention.key_length")
                ? metadata.positive(p + "attention.key_length")
                : hidden / heads;
        return new ModelConfig(
                architecture,
                tensor("model.embed_tokens.weight").rows(),
                hidden,
                metadata.positive(p + "block_count"),
                heads,
                kvHeads,
                headDim,
                metadata.positive(p + "feed_forward_length"),
                (float) metadata.number(p + "attention.layer_norm_rms_epsilon", 1e-5),
                metadata.number(p + "rope.freq_base", 10_000),
                ropeScaling(p, headDim),
                ModelFamily.of(architecture).ggufInterleaved(),
                metadata.positive(p + "context_length"),
                find("lm_head.weight").isEmpty(),
                metadata.integer("tokenizer.ggml.bos_token_id", -1),
                eosIds());
    }

    private List<Integer> eosIds() {
        List<Integer> ids = new ArrayList<>();
        for (String key : List.of("tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id")) {
            int id = metadata.integer(key, -1);
            if (id >= 0 && !ids.contains(id)) {
                ids.add(id);
            }
        }
        return ids;
    }

    private RopeScaling ropeScaling(String p, int headDim) {
        Optional<Tensor> divisors = find("rope_freqs.weight");
        if (divisors.isPresent()) {
            Tensor t = divisors.get();
            if (t.type() != TensorType.F32 || t.rows() != 1 || t.cols() != headDim / 2) {
                throw new IllegalArgumentException(
                        path + ": tensor 'rope_freqs.weight' is " + t.rows() + " x " + t.cols() + " of " + t.type()
                                + "; heads of " + headDim + " need 1 x " + headDim / 2 + " of F32");
            }
            List<Float> values = new ArrayList<>();
            for (int i = 0; i < t.cols(); i++) {
                values.add(t.data().get(F32, 4L * i));
            }
            return new RopeScaling.Divisors(values);
        }
        String type = metadata.optionalString(p + "rope.scaling.type").orElse("none");
        return switch (type) {
            case "none" -> new RopeScaling.None();
            case "linear" -> new RopeScaling.Linear(metadata.number(p + "rope.scaling.factor", 1));
            default ->
                throw new IllegalArgumentException(
                        path + ": rope scaling '" + type + "' is not supported; supported: none, linear, llama3");
        };
    }

    @Override
    public ModelConfig config() {
        return config;
    }
}
