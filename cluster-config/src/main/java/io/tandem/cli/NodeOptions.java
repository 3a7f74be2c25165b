package io.tandem.cli;

import com.typesafe.config.Config;
import com.typesafe.config.ConfigFactory;
import io.tandem.NodeSettings;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import picocli.CommandLine.Option;

/** Options that make a node's settings; what is given here goes over --config, and that over the profile. */
final class NodeOptions {
    @Option(names = "--config", paramLabel = "FILE", description = "HOCON file with settings")
    private Path file;

    @Option(
            names = "--profile",
            defaultValue = "laptop",
            description = "settings to start from: laptop, gpu, quickstart, cluster (default: ${DEFAULT-VALUE})")
    private String profile;

    @Option(
            names = "--roles",
            split = ",",
            description = "what the node does: api, prefill, decode, mixed; a worker gets the id ROLE-0")
    private List<String> roles;

    @Option(names = "--gpus", split = ",", description = "workers by id, e.g. gpu-0=prefill,gpu-1=decode")
    private Map<String, String> gpus;

    @Option(names = "--model", paramLabel = "PATH", description = "GGUF file or safetensors folder")
    private Path model;

    @Option(names = "--model-name", description = "what clients call the model")
    private String modelName;

    @Option(names = "--host", description = "address to bind to; anything but loopback needs --insecure-network")
    private String host;

    @Option(names = "--insecure-network", description = "allow unencrypted control messages and transfers off loopback")
    private boolean insecureNetwork;

    @Option(names = "--cluster-port", description = "TCP port of control messages (0 = any free one)")
    private Integer clusterPort;

    @Option(names = "--seeds", split = ",", description = "host:port of nodes to join; none = a new cluster")
    private List<String> seeds;

    @Option(names = "--port", description = "HTTP port of a node with the role api")
    private Integer httpPort;

    @Option(names = "--wire", description = "how KV blocks travel: udp or ipc")
    private String wire;

    @Option(names = "--threads", description = "CPU threads of one worker (0 = all cores)")
    private Integer threads;

    @Option(names = "--backend", description = "auto, cuda, cpu, cpu-vector, cpu-scalar or simulated")
    private String backend;

    @Option(names = "--require", paramLabel = "BACKEND", description = "refuse to start when another backend is chosen")
    private String require;

    @Option(names = "--device", description = "number of the node's first NVIDIA GPU (0)")
    private Integer device;

    /** All of it as one configuration. */
    Config config() {
        Map<String, Object> given = new LinkedHashMap<>();
        put(given, "tandem.node.model.path", model == null ? null : model.toString());
        put(given, "tandem.node.model.name", modelName);
        put(given, "tandem.node.host", host);
        put(given, "tandem.transfer.host", host);
        put(given, "tandem.node.insecure-network", insecureNetwork ? true : null);
        put(given, "tandem.node.port", clusterPort);
        put(given, "tandem.node.seeds", seeds);
        put(given, "tandem.http.port", httpPort);
        put(given, "tandem.transfer.wire", wire);
        put(given, "tandem.compute.threads", threads);
        put(given, "tandem.compute.backend", backend);
        put(given, "tandem.compute.require", require);
        put(given, "tandem.compute.cuda.device", device);
        if (roles != null || gpus != null) {
            members(given);
        }
        Config fromFile = ConfigFactory.empty();
        if (file != null) {
            // Of a folder the parser would say nothing, and read nothing.
            if (!Files.isReadable(file) || Files.isDirectory(file)) {
                throw new IllegalArgumentException("--config " + file + " cannot be read");
            }
            fromFile = ConfigFactory.parseFile(file.toFile());
        }
        Config base = ConfigFactory.parseResources("profiles/" + profile + ".conf");
        if (base.isEmpty()) {
            throw new IllegalArgumentException(
                    "--profile must be laptop, gpu, quickstart or cluster, not '" + profile + "'");
        }
        return ConfigFactory.systemProperties()
                .withOnlyPath("tandem")
                .withFallback(ConfigFactory.parseMap(given, "command line"))
                .withFallback(fromFile)
                .withFallback(base)
                .withFallback(defaultModel());
    }

    /** The model that "models pull" fetched, when nothing else is said. */
    private static Config defaultModel() {
        Path cached = ModelStore.defaultModel();
        return Files.exists(cached)
                ? ConfigFactory.parseMap(Map.of("tandem.node.model.path", cached.toString()), "model cache")
                : ConfigFactory.empty();
    }

    private void members(Map<String, Object> given) {
        List<String> clusterRoles = new ArrayList<>();
        List<Map<String, Object>> workers = new ArrayList<>();
        for (String role : roles == null ? List.<String>of() : roles) {
            switch (role) {
                case NodeSettings.API_ROLE -> clusterRoles.add(role);
                case "prefill", "decode", "mixed" -> workers.add(Map.of("id", role + "-0", "role", role));
                default ->
                    throw new IllegalArgumentException(
                            "--roles takes api, prefill, decode and mixed, not '" + role + "'");
            }
        }
        if (gpus != null) {
            workers.clear();
            gpus.forEach((id, role) -> workers.add(Map.of("id", id, "role", role)));
        }
        given.put("tandem.node.roles", clusterRoles);
        given.put("tandem.node.gpus", workers);
    }

    private static void put(Map<String, Object> into, String key, Object value) {
        if (value != null) {
            into.put(key, value);
        }
    }
}
