package io.tandem.compute;

import java.util.List;

/**
 * Which backend runs and why, for logs, {@code /health} and benchmark rows.
 *
 * @param name short id: "cpu-vector", "cpu-scalar", "cuda", "simulated"
 * @param device what it runs on, for people: "AVX-512, 2 threads"
 * @param refusals why each faster backend was not chosen, in order of preference; empty when this is the fastest
 * @param batchInvariant whether a row's result is independent of the batch it runs in
 * @param memoryBytes memory the device offers for KV and weights
 */
public record BackendInfo(String name, String device, List<String> refusals, boolean batchInvariant, long memoryBytes) {
    public BackendInfo {
        refusals = List.copyOf(refusals);
    }
}
