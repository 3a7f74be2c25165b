package io.tandem;

import com.typesafe.config.Config;
import io.tandem.engine.EngineRole;
import io.tandem.settings.SettingRange;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.regex.Pattern;

/**
 * What one node is, from {@code tandem.node}; see reference.conf for units and reasons.
 *
 * @param seeds host:port of nodes to join; empty = found a cluster of one's own
 * @param gpus role at start by GPU id
 * @param modelPath GGUF file or folder
 * @param modelName name for clients; empty = from the file's name
 */
public record NodeSettings(
        String clusterName,
        String host,
        int port,
        List<String> seeds,
        List<String> roles,
        Map<String, EngineRole> gpus,
        Path modelPath,
        String modelName,
        boolean insecureNetwork,
        Duration seedWait,
        Duration startTimeout,
        Duration workerTimeout,
        Duration drainTimeout,
        Duration stopDrainTimeout) {

    /** Role of nodes that serve HTTP. */
    public static final String API_ROLE = "api";

    private static final Pattern GPU_ID = Pattern.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,62}");
    private static final int MAX_GPUS = 64;

    public NodeSettings {
        if (!isLoopback(host) && !insecureNetwork) {
            throw new IllegalArgumentException("tandem.node.host is " + host + ", which other machines can reach, and"
                    + " control messages and KV blocks are not encrypted yet. Bind to 127.0.0.1, or, on a network that"
                    + " you trust, start with --insecure-network (tandem.node.insecure-network = on)");
        }
        if (gpus.size() > MAX_GPUS) {
            throw new IllegalArgumentException("tandem.node.gpus takes at most " + MAX_GPUS + " entries");
        }
        for (String id : gpus.keySet()) {
            if (!GPU_ID.matcher(id).matches()) {
                throw new IllegalArgumentException("tandem.node.gpus: '" + id
                        + "' is no GPU id; use letters, digits, '.', '_' and '-', at most 63 in all");
            }
        }
        for (String seed : seeds) {
            if (!seed.matches(".+:\\d{1,5}")) {
                throw new IllegalArgumentException("tandem.node.seeds: '" + seed + "' is not host:port");
            }
        }
        SettingRange.check("tandem.node.port", port, 0, 65_535);
        seconds("seed-wait", seedWait, 0, 600);
        seconds("start-timeout", startTimeout, 1, 600);
        seconds("worker-timeout", workerTimeout, 1, 60);
        seconds("drain-timeout", drainTimeout, 1, 86_400);
        seconds("stop-drain-timeout", stopDrainTimeout, 0, 600);
        seeds = List.copyOf(seeds);
        roles = List.copyOf(roles);
    }

    private static void seconds(String key, Duration value, long min, long max) {
        if (value.compareTo(Duration.ofSeconds(min)) < 0 || value.compareTo(Duration.ofSeconds(max)) > 0) {
            throw new IllegalArgumentException(
                    "tandem.node." + key + " must be " + min + " s to " + max + " s, not " + value.toMillis() + " ms");
        }
    }

    /** Whether requests start here: the node serves HTTP, or has no GPU and is somebody's client. */
    boolean serves() {
        return serves(roles, !gpus.isEmpty());
    }

    /** The same for a node with these cluster roles. */
    static boolean serves(Collection<String> roles, boolean hasGpus) {
        return roles.contains(API_ROLE) || !hasGpus;
    }

    static NodeSettings from(Config root) {
        Config c = root.getConfig("tandem.node");
        Map<String, EngineRole> gpus = new LinkedHashMap<>();
        for (Config gpu : c.getConfigList("gpus")) {
            if (gpus.put(gpu.getString("id"), role(gpu.getString("role"))) != null) {
                throw new IllegalArgumentException("tandem.node.gpus names '" + gpu.getString("id") + "' twice");
            }
        }
        String model = c.getString("model.path");
        if (model.isEmpty()) {
            throw new IllegalArgumentException(
                    "tandem.node.model.path is empty: give a GGUF file or a folder with safetensors");
        }
        return new NodeSettings(
                c.getString("cluster-name"),
                c.getString("host"),
                c.getInt("port"),
                c.getStringList("seeds"),
                c.getStringList("roles"),
                gpus,
                Path.of(model),
                c.getString("model.name"),
                c.getBoolean("insecure-network"),
                c.getDuration("seed-wait"),
                c.getDuration("start-timeout"),
                c.getDuration("worker-timeout"),
                c.getDuration("drain-timeout"),
                c.getDuration("stop-drain-timeout"));
    }

    /** Reads "prefill", "decode" or "mixed". */
    static EngineRole role(String text) {
        try {
            return EngineRole.valueOf(text.toUpperCase(Locale.ROOT));
        } catch (IllegalArgumentException e) {
            throw new IllegalArgumentException("role must be prefill, decode or mixed, not '" + text + "'", e);
        }
    }

    private static boolean isLoopback(String host) {
        try {
            return InetAddress.getByName(host).isLoopbackAddress();
        } catch (UnknownHostException e) {
            throw new IllegalArgumentException("tandem.node.host '" + host + "' is not known", e);
        }
    }
}
