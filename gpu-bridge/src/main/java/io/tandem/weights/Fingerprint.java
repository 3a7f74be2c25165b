package io.tandem.weights;

import io.tandem.model.ModelConfig;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.Map;
import java.util.TreeMap;

/**
 * Content identity of a model: SHA-256 over its shape, each tensor's name, type and size, and the first, middle and last
 * bytes of each. Reading samples keeps it to milliseconds; two models that differ only between the samples of every tensor
 * do not occur by training or conversion.
 */
final class Fingerprint {
    private static final int SAMPLE_BYTES = 256;

    private Fingerprint() {}

    static String of(ModelConfig config, Map<String, Tensor> tensors) {
        MessageDigest digest = sha256();
        digest.update(config.toString().getBytes(StandardCharsets.UTF_8));
        digest.update((config.ropeTheta() + " " + config.ropeScaling() + " " + config.normEps())
                .getBytes(StandardCharsets.UTF_8));
        for (Tensor tensor : new TreeMap<>(tensors).values()) {
            String header = tensor.name() + " " + tensor.type() + " " + tensor.rows() + "x" + tensor.cols() + "\n";
            digest.update(header.getBytes(StandardCharsets.UTF_8));
            long size = tensor.data().byteSize();
            sample(digest, tensor.data(), 0);
            sample(digest, tensor.data(), size / 2);
            sample(digest, tensor.data(), Math.max(0, size - SAMPLE_BYTES));
        }
        return HexFormat.of().formatHex(digest.digest());
    }

    private static void sample(MessageDigest digest, MemorySegment data, long from) {
        long length = Math.min(SAMPLE_BYTES, data.byteSize() - from);
        digest.update(data.asSlice(from, length).toArray(ValueLayout.JAVA_BYTE));
    }

    private static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every JDK has SHA-256", e);
        }
    }
}
