package io.tandem.admission;

import com.typesafe.config.Config;
import com.typesafe.config.ConfigValue;
import com.typesafe.config.ConfigValueType;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/**
 * {@code tandem.admission}; see reference.conf for units and reasons.
 *
 * @param classes dearest first
 * @param tenantWeights of the tenants named there
 */
public record AdmissionSettings(
        boolean enabled,
        List<ServiceClass> classes,
        String defaultClass,
        int queueMaxRequests,
        long dispatchAheadNanos,
        int coldRequestsPerWorker,
        double rejectAbove,
        double rejectItlAbove,
        SizeLimit.Settings sizeLimit,
        boolean serveWhenIdle,
        double outputTokenWeight,
        int expectedOutputTokens,
        double tenantWeight,
        Map<String, Double> tenantWeights,
        int tenantLabelsMax,
        boolean tenantCacheSalt,
        Duration tickInterval) {

    private static final String PATH = "tandem.admission.";
    private static final Pattern NAME = Pattern.compile("[a-z0-9][a-z0-9_-]{0,31}");
    private static final int MAX_CLASSES = 16;
    /** OpenAI's words for "whatever the server thinks best". */
    private static final List<String> WHATEVER = List.of("", "auto", "default");

    public AdmissionSettings {
        classes = List.copyOf(classes);
        tenantWeights = Map.copyOf(tenantWeights);
        if (classes.isEmpty() || classes.size() > MAX_CLASSES) {
            throw new IllegalArgumentException(PATH + "classes needs 1 to " + MAX_CLASSES + " classes");
        }
        if (classes.stream().noneMatch(c -> c.name().equals(defaultClass))) {
            throw new IllegalArgumentException(PATH + "default-class is '" + defaultClass + "', which is none of "
                    + classes.stream().map(ServiceClass::name).collect(Collectors.joining(", ")));
        }
    }

    /** @throws IllegalArgumentException naming the key and its range */
    public static AdmissionSettings from(Config root) {
        Config c = root.getConfig("tandem.admission");
        List<ServiceClass> classes = new ArrayList<>();
        for (Map.Entry<String, ConfigValue> entry : c.getObject("classes").entrySet()) {
            // A class that is in a reference.conf is taken away with null.
            if (entry.getValue().valueType() != ConfigValueType.NULL) {
                classes.add(serviceClass(entry.getKey(), c.getConfig("classes").getConfig(quoted(entry.getKey()))));
            }
        }
        classes.sort(Comparator.comparingDouble((ServiceClass s) -> -s.price()).thenComparing(ServiceClass::name));
        Map<String, Double> weights = new HashMap<>();
        for (String tenant : c.getObject("tenants").keySet()) {
            Config t = c.getConfig("tenants").getConfig(quoted(tenant));
            weights.put(tenant, number(t, "tenants." + tenant + ".", "weight", 0.001, 1000));
        }
        return new AdmissionSettings(
                c.getBoolean("enabled"),
                classes,
                c.getString("default-class"),
                (int) number(c, "", "queue-max-requests", 1, 100_000),
                nanos(c, "", "dispatch-ahead", Duration.ofMillis(1), Duration.ofMinutes(1)),
                (int) number(c, "", "cold-requests-per-worker", 1, 100_000),
                number(c, "", "reject-above", 0.1, 10),
                rejectItlAbove(root),
                sizeLimit(root),
                c.getBoolean("serve-when-idle"),
                number(c, "", "output-token-weight", 0, 1000),
                (int) number(c, "", "expected-output-tokens", 1, 1_000_000),
                number(c, "", "tenant-weight", 0.001, 1000),
                weights,
                (int) number(c, "", "tenant-labels-max", 0, 1000),
                c.getBoolean("tenant-cache-salt"),
                Duration.ofNanos(nanos(c, "", "tick-interval", Duration.ofMillis(1), Duration.ofSeconds(1))));
    }

    /** Reads {@code tandem.admission.reject-itl-above} alone. */
    public static double rejectItlAbove(Config root) {
        return number(root.getConfig("tandem.admission"), "", "reject-itl-above", 0.1, 10);
    }

    /** Reads {@code tandem.admission.size-limit} alone. */
    public static SizeLimit.Settings sizeLimit(Config root) {
        Config c = root.getConfig(PATH + "size-limit");
        return new SizeLimit.Settings(
                number(c, "size-limit.", "fall", 0.1, 1),
                number(c, "size-limit.", "rise-per-second", 0.0001, 10),
                number(c, "size-limit.", "max-share", 0.01, 1000));
    }

    private static ServiceClass serviceClass(String name, Config c) {
        if (!NAME.matcher(name).matches() || name.equals("auto")) {
            throw new IllegalArgumentException(PATH + "classes: '" + name
                    + "' is no class name; use at most 32 of a-z, 0-9, '_' and '-', and not 'auto'");
        }
        String path = "classes." + name + ".";
        return new ServiceClass(
                name,
                nanos(c, path, "ttft-target", Duration.ofMillis(1), Duration.ofHours(24)),
                nanos(c, path, "itl-target", Duration.ofNanos(100_000), Duration.ofHours(1)),
                number(c, path, "weight", 0.001, 1000),
                number(c, path, "price", 0, 1e9),
                c.getBoolean("sheddable"),
                (int) number(c, path, "queue-max-requests", 0, 100_000));
    }

    private static String quoted(String key) {
        return '"' + key + '"';
    }

    private static double number(Config c, String path, String key, double min, double max) {
        if (!c.hasPath(key) || c.getValue(key).valueType() == ConfigValueType.OBJECT) {
            throw new IllegalArgumentException(PATH + path + key + " is missing");
        }
        double value = c.getDouble(key);
        if (!(value >= min && value <= max)) {
            throw new IllegalArgumentException(
                    PATH + path + key + " must be from " + min + " to " + max + ", not " + value);
        }
        return value;
    }

    private static long nanos(Config c, String path, String key, Duration min, Duration max) {
        if (!c.hasPath(key)) {
            throw new IllegalArgumentException(PATH + path + key + " is missing");
        }
        Duration value = c.getDuration(key);
        if (value.compareTo(min) < 0 || value.compareTo(max) > 0) {
            throw new IllegalArgumentException(
                    PATH + path + key + " must be from " + min + " to " + max + ", not " + value);
        }
        return value.toNanos();
    }

    /** The class that a {@code service_tier} means; empty when there is none of that name. */
    public Optional<ServiceClass> serviceClass(String tier) {
        Optional<ServiceClass> named =
                classes.stream().filter(c -> c.name().equals(tier)).findFirst();
        if (named.isPresent() || !WHATEVER.contains(tier)) {
            return named;
        }
        return classes.stream().filter(c -> c.name().equals(defaultClass)).findFirst();
    }

    /** What {@code service_tier} may say. */
    public List<String> tiers() {
        List<String> tiers = new ArrayList<>(WHATEVER.subList(1, WHATEVER.size()));
        classes.stream().map(ServiceClass::name).filter(n -> !tiers.contains(n)).forEach(tiers::add);
        return tiers;
    }

    public double weight(String tenant) {
        return tenantWeights.getOrDefault(tenant, tenantWeight);
    }
}
