package io.tandem.compute.cuda;

/** CUDA cannot be used here; the message says why in a way that people can act on. */
public final class CudaUnavailableException extends RuntimeException {
    public CudaUnavailableException(String message) {
        super(message);
    }
}
