/**
 * Weights on disk: file formats begin and end here. A {@link io.tandem.weights.Checkpoint} maps the file, checks every
 * length in its header against the bytes that are there, and answers tensors by Hugging Face's names, so that nothing
 * above this package knows whether a model came as GGUF or safetensors. Tensors are views of the mapping: processes on one
 * host share their pages, and what is never used is never read.
 */
package io.tandem.weights;
