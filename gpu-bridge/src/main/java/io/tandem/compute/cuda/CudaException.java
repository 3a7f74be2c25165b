package io.tandem.compute.cuda;

/** The driver refused a call or reports that earlier work failed. */
final class CudaException extends RuntimeException {
    static final int OUT_OF_MEMORY = 2;

    private final int code;

    CudaException(String call, int code, String name) {
        super(call + ": " + name + " (" + code + ")");
        this.code = code;
    }

    boolean isOutOfMemory() {
        return code == OUT_OF_MEMORY;
    }
}
