package io.tandem.model;

import io.tandem.chat.ChatTemplate;
import io.tandem.tokenizer.Tokenizer;
import java.nio.file.Path;
import java.util.Optional;

/**
 * Everything a node knows of a model without having loaded its weights: enough to render, tokenise and route.
 *
 * @param name what clients call it
 * @param path file or folder it came from
 * @param config its shape
 * @param tokenizer its tokenizer
 * @param chatTemplate its chat template; empty for base models
 * @param fingerprint 64 hexadecimal digits over shape, tensors' names, types, offsets and a sample of their bytes; nodes
 *     with different fingerprints never exchange KV blocks
 * @param weightBytes size of all tensors
 */
public record ModelBundle(
        String name,
        Path path,
        ModelConfig config,
        Tokenizer tokenizer,
        Optional<ChatTemplate> chatTemplate,
        String fingerprint,
        long weightBytes) {}
