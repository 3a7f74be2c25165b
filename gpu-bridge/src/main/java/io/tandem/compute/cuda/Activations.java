package io.tandem.compute.cuda;

import io.tandem.compute.cuda.CudaDriver.Stream;
import io.tandem.model.ModelConfig;

/**
 * Device buffers of a pass, sized for its largest batch.
 *
 * @param residual [tokens][hidden]
 * @param normed [tokens][hidden]
 * @param qkv [tokens][q, k and v of all heads]
 * @param queries [tokens][heads][headDim]
 * @param attended [tokens][heads][headDim]
 * @param gateUp [tokens][2 x MLP width]
 * @param gated [tokens][MLP width]
 * @param lastRows [rows][hidden], the residual of what goes on behind the last attention
 * @param logits float [rows][vocabulary]
 * @param tokens int [rows], the chosen tokens; {@code logprobs} follows
 * @param logprobs float [rows]
 * @param lastTokens int [slots], the token each slot chose last
 * @param penalties unsigned [slots][vocabulary]
 * @param biases float [slots][vocabulary]
 * @param history int [longest sequence], tokens to be counted
 */
record Activations(
        long residual,
        long normed,
        long qkv,
        long queries,
        long attended,
        long gateUp,
        long gated,
        long lastRows,
        long logits,
        long tokens,
        long logprobs,
        long lastTokens,
        long penalties,
        long biases,
        long samplingWorkspace,
        long workspace,
        long history) {

    static Activations take(
            DeviceMemory memory, Stream stream, ModelConfig c, Kernels kernels, int maxTokens, int maxSequences) {
        long t = Products.paddedRows(maxTokens);
        long r = Products.paddedRows(maxSequences);
        long v = c.vocabSize();
        String what = "activations";
        String sampling = "sampling";
        long tokens = memory.takeZeroed(sampling, 8 * r, stream);
        return new Activations(
                memory.takeZeroed(what, 2 * t * c.hiddenSize(), stream),
                memory.takeZeroed(what, 2 * t * c.hiddenSize(), stream),
                memory.takeZeroed(what, 2 * t * (c.queryWidth() + 2L * c.kvWidth()), stream),
                memory.takeZeroed(what, 2 * t * c.queryWidth(), stream),
                memory.takeZeroed(what, 2 * t * c.queryWidth(), stream),
                memory.takeZeroed(what, 4 * t * c.intermediateSize(), stream),
                memory.takeZeroed(what, 2 * t * c.intermediateSize(), stream),
                memory.takeZeroed(what, 2 * r * c.hiddenSize(), stream),
                memory.takeZeroed(what, 4 * r * v, stream),
                tokens,
                tokens + 4 * r,
                memory.takeZeroed(sampling, 4 * r, stream),
                memory.takeZeroed(sampling, 4 * maxSequences * v, stream),
                memory.takeZeroed(sampling, 4 * maxSequences * v, stream),
                memory.takeZeroed(sampling, r * kernels.figure("sampling.workspaceRowBytes"), stream),
                memory.takeZeroed("workspace", kernels.figure("workspace.bytes"), stream),
                memory.takeZeroed(sampling, 4L * c.maxContextTokens(), stream));
    }
}
