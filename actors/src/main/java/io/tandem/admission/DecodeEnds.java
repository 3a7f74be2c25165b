package io.tandem.admission;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * When the decodes that this node sent to each GPU are expected to be over, and which classes they are of. What outlives its
 * expectation is expected to take the same time once more.
 */
final class DecodeEnds {

    /** One decode. */
    record Decode(int classIndex, long startNanos, double durationNanos, double contextTokens) {
        double endNanos(long now) {
            double end = startNanos + durationNanos;
            return end > now ? end : now + durationNanos;
        }
    }

    private final Map<String, Map<Long, Decode>> byGpu = new HashMap<>();

    void add(String gpu, long id, Decode decode) {
        byGpu.computeIfAbsent(gpu, g -> new HashMap<>()).put(id, decode);
    }

    void remove(String gpu, long id) {
        Map<Long, Decode> decodes = byGpu.get(gpu);
        if (decodes != null && decodes.remove(id) != null && decodes.isEmpty()) {
            byGpu.remove(gpu);
        }
    }

    /** A decode goes on elsewhere. */
    void move(String from, String to, long id) {
        Decode decode = byGpu.getOrDefault(from, Map.of()).get(id);
        if (decode != null) {
            remove(from, id);
            add(to, id, decode);
        }
    }

    /** The decodes of a GPU, those first that end first. */
    List<Decode> byEnd(String gpu, long now) {
        List<Decode> decodes = new ArrayList<>(byGpu.getOrDefault(gpu, Map.of()).values());
        decodes.sort(Comparator.comparingDouble(d -> d.endNanos(now)));
        return decodes;
    }

    /** The strictest target of the classes that decode there, or infinity. */
    double tightestItlNanos(String gpu, List<ServiceClass> classes) {
        double tightest = Double.POSITIVE_INFINITY;
        for (Decode decode : byGpu.getOrDefault(gpu, Map.of()).values()) {
            tightest =
                    Math.min(tightest, (double) classes.get(decode.classIndex).itlTargetNanos());
        }
        return tightest;
    }
}
