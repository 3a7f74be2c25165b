package io.tandem.weights;

import io.tandem.model.ModelConfig;
import java.util.Optional;
import java.util.Set;

/**
 * A model's weights on disk under one naming scheme, Hugging Face's ("model.layers.0.self_attn.q_proj.weight"), whatever
 * the file format. Tensors are mapped, not read, so processes on one host share their pages.
 */
public interface Checkpoint extends AutoCloseable {

    ModelConfig config();

    /** The tensor of that name, if there is one. */
    Optional<Tensor> find(String name);

    /** The tensor of that name; throws {@link IllegalArgumentException} naming the file and tensor when it is missing. */
    Tensor tensor(String name);

    Set<String> tensorNames();

    /** See {@link io.tandem.model.ModelBundle#fingerprint()}. */
    String fingerprint();

    /** Bytes of all tensors. */
    long weightBytes();

    @Override
    void close();
}
