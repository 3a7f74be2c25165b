package io.tandem.simulation.planning;

import io.tandem.model.ModelConfig;
import io.tandem.model.Models;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;

/**
 * What of a model decides its step times.
 *
 * @param name short, without the publisher
 * @param parameters all of them
 * @param activeParameters that one token passes through
 * @param expertParameters those of {@code parameters} that lie in experts; 0 = a dense model
 * @param experts of a layer; 1 = a dense model
 * @param expertsPerToken chosen by the router of a layer
 * @param layers transformer blocks
 * @param kvElementsPerToken elements of KV a token, over all layers
 * @param kvHeads key/value heads, which bound how far KV can be cut; 1 = latent attention, every GPU holds it whole
 * @param hidden width of the residual stream
 */
public record ModelShape(
        String name,
        double parameters,
        double activeParameters,
        double expertParameters,
        int experts,
        int expertsPerToken,
        int layers,
        double kvElementsPerToken,
        int kvHeads,
        int hidden) {

    /** From the models' published configurations. */
    private static final List<ModelShape> KNOWN = List.of(
            dense("Llama-3.1-8B", 8.03e9, 32, 65_536, 8, 4_096),
            dense("Llama-3.1-70B", 70.6e9, 80, 163_840, 8, 8_192),
            dense("Qwen3-32B", 32.8e9, 64, 131_072, 8, 5_120),
            new ModelShape("Qwen3-235B-A22B", 235e9, 22e9, 227e9, 128, 8, 94, 96_256, 4, 4_096),
            new ModelShape("DeepSeek-R1", 671e9, 37e9, 653.9e9, 256, 8, 61, 35_136, 1, 7_168),
            new ModelShape("DeepSeek-V3", 671e9, 37e9, 653.9e9, 256, 8, 61, 35_136, 1, 7_168),
            new ModelShape("Kimi-K2.5", 1_040e9, 32e9, 1_014.7e9, 384, 8, 61, 35_136, 1, 7_168),
            new ModelShape("MiniMax-M2.5", 229e9, 10e9, 224.7e9, 256, 8, 62, 126_976, 8, 3_072),
            new ModelShape("gpt-oss-120b", 117e9, 5.1e9, 114.7e9, 128, 4, 36, 36_864, 8, 2_880),
            new ModelShape("GLM-5", 744e9, 40e9, 724.8e9, 256, 8, 78, 44_928, 1, 6_144),
            new ModelShape("Qwen3.5-397B-A17B", 397e9, 17e9, 386.5e9, 512, 10, 60, 15_360, 2, 4_096));

    private static ModelShape dense(String name, double parameters, int layers, double kv, int kvHeads, int hidden) {
        return new ModelShape(name, parameters, parameters, 0, 1, 1, layers, kv, kvHeads, hidden);
    }

    /** Finds a model by name, whatever publisher stands before it and whatever variant after it. */
    public static ModelShape of(String name) {
        String wanted = name.substring(name.lastIndexOf('/') + 1).toLowerCase(Locale.ROOT);
        return KNOWN.stream()
                .filter(m -> wanted.startsWith(m.name.toLowerCase(Locale.ROOT)))
                .max((a, b) -> Integer.compare(a.name.length(), b.name.length()))
                .orElseThrow(() -> new IllegalArgumentException("the model '" + name + "' is not known; there are: "
                        + KNOWN.stream().map(ModelShape::name).toList() + ", or a model's file or folder"));
    }

    /** A known model's by its name, or that of a model's file or folder. */
    public static ModelShape open(String nameOrPath) throws IOException {
        Path path = Path.of(nameOrPath);
        if (Files.exists(path)) {
            try (var checkpoint = Models.openWeights(path)) {
                return of(String.valueOf(path.getFileName()), checkpoint.config());
            }
        }
        return of(nameOrPath);
    }

    /** The shape of a model that Tandem can open. */
    public static ModelShape of(String name, ModelConfig c) {
        double attention = (2.0 * c.queryWidth() + 2.0 * c.kvWidth()) * c.hiddenSize();
        double mlp = 3.0 * c.hiddenSize() * c.intermediateSize();
        double heads = (c.tiedHead() ? 1.0 : 2.0) * c.vocabSize() * c.hiddenSize();
        return dense(
                name,
                c.layers() * (attention + mlp) + heads,
                c.layers(),
                2.0 * c.layers() * c.kvWidth(),
                c.kvHeads(),
                c.hiddenSize());
    }

    /** Weights that stay in memory. */
    public double weightBytes(Precision precision) {
        return parameters * precision.bytes();
    }

    /** KV of one token. */
    public double kvBytesPerToken(Precision precision) {
        return kvElementsPerToken * precision.kvBytes();
    }

    /** Share of all weights that a pass over so many tokens reads. */
    double touchedShare(double tokens) {
        return (parameters - expertParameters + expertParameters * expertsTouched(tokens) / experts) / parameters;
    }

    /** Expected number of distinct experts of a layer that a batch of tokens touches. */
    double expertsTouched(double tokens) {
        return experts * (1 - Math.pow(1 - (double) expertsPerToken / experts, tokens));
    }
}
