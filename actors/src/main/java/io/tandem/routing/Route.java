package io.tandem.routing;

/**
 * Where a request runs.
 *
 * @param prefillGpu computes the prompt; equal to {@code decodeGpu} when not split
 * @param decodeGpu generates
 * @param reason for people
 */
public record Route(String prefillGpu, long prefillEpoch, String decodeGpu, long decodeEpoch, String reason) {

    public boolean split() {
        return !prefillGpu.equals(decodeGpu);
    }
}
