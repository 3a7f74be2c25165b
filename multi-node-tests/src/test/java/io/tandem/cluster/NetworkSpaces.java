package io.tandem.cluster;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A network namespace for each node, joined by a bridge, so that a node can be cut off from the others, and packets can be
 * lost on its link. All of it is inside this host, and removed at the end. Linux, as root.
 */
final class NetworkSpaces implements Hosts, AutoCloseable {
    private static final String DEVICE = "eth0";

    private final String id = Long.toString(ProcessHandle.current().pid());
    private final String bridge = "tdb" + id;
    private final String network = "10.213." + ProcessHandle.current().pid() % 250 + ".";
    private final Map<String, Integer> numberOf = new LinkedHashMap<>();
    private Path programs;
    private boolean lossByProgram;

    private NetworkSpaces() {}

    /** Skips the calling test visibly, with the reason, where namespaces are not permitted. */
    static NetworkSpaces create(List<String> nodes) {
        NetworkSpaces spaces = new NetworkSpaces();
        String refusal = spaces.tryCreate(nodes);
        if (!refusal.isEmpty()) {
            spaces.close();
        }
        assumeTrue(refusal.isEmpty(), "no network namespaces here: " + refusal);
        return spaces;
    }

    private String tryCreate(List<String> nodes) {
        try {
            must("ip", "link", "add", bridge, "type", "bridge");
            must("ip", "addr", "add", network + "1/24", "dev", bridge);
            must("ip", "link", "set", bridge, "up");
            for (String node : nodes) {
                add(node);
            }
            return "";
        } catch (IllegalStateException e) {
            return e.getMessage();
        }
    }

    private void add(String node) {
        numberOf.put(node, numberOf.size() + 2);
        must("ip", "netns", "add", space(node));
        must("ip", "link", "add", link(node), "type", "veth", "peer", "name", DEVICE, "netns", space(node));
        must("ip", "link", "set", link(node), "master", bridge, "up");
        must("ip", "-n", space(node), "addr", "add", address(node) + "/24", "dev", DEVICE);
        must("ip", "-n", space(node), "link", "set", DEVICE, "up");
        must("ip", "-n", space(node), "link", "set", "lo", "up");
    }

    private String space(String node) {
        return "tandem-" + id + "-" + numberOf.get(node);
    }

    private String link(String node) {
        return "tdv" + id + "x" + numberOf.get(node);
    }

    @Override
    public String address(String node) {
        return network + numberOf.get(node);
    }

    @Override
    public List<String> before(String node) {
        return List.of("ip", "netns", "exec", space(node));
    }

    /** From now on nothing reaches the node, and nothing comes from it. */
    void cut(String node) {
        must("ip", "link", "set", link(node), "down");
    }

    void mend(String node) {
        must("ip", "link", "set", link(node), "up");
    }

    /** These two do not reach each other; both reach all others. */
    void part(String one, String other) {
        must("ip", "-n", space(one), "route", "add", "blackhole", address(other) + "/32");
        must("ip", "-n", space(other), "route", "add", "blackhole", address(one) + "/32");
    }

    void join(String one, String other) {
        must("ip", "-n", space(one), "route", "del", "blackhole", address(other) + "/32");
        must("ip", "-n", space(other), "route", "del", "blackhole", address(one) + "/32");
    }

    /**
     * On every node's link, in both directions, this share of the packets is lost from now on: by the kernel's netem where it
     * has it, else by a program in front of its network stack. Skips the calling test where it has neither.
     */
    void losePackets(double share) {
        try {
            for (String node : numberOf.keySet()) {
                String percent = 100 * share + "%";
                must("tc", "-n", space(node), "qdisc", "add", "dev", DEVICE, "root", "netem", "loss", percent);
                must("tc", "qdisc", "add", "dev", link(node), "root", "netem", "loss", percent);
            }
        } catch (IllegalStateException noNetem) {
            lossByProgram = true;
            losePacketsByProgram(share, noNetem.getMessage());
        }
    }

    private void losePacketsByProgram(double share, String noNetem) {
        try {
            programs = Files.createTempDirectory("tandem-bpf");
            must("mount", "-t", "bpf", "bpf", programs.toString());
            String program =
                    PacketLossProgram.pin(programs.resolve("loss"), share).toString();
            for (String node : numberOf.keySet()) {
                must("ip", "-n", space(node), "link", "set", "dev", DEVICE, "xdpgeneric", "pinned", program);
                must("ip", "link", "set", "dev", link(node), "xdpgeneric", "pinned", program);
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } catch (IllegalStateException e) {
            assumeTrue(false, "packets cannot be lost here: " + noNetem + "; " + e.getMessage());
        }
    }

    void loseNoPackets() {
        for (String node : numberOf.keySet()) {
            if (lossByProgram) {
                must("ip", "-n", space(node), "link", "set", "dev", DEVICE, "xdpgeneric", "off");
                must("ip", "link", "set", "dev", link(node), "xdpgeneric", "off");
            } else {
                must("tc", "-n", space(node), "qdisc", "del", "dev", DEVICE, "root");
                must("tc", "qdisc", "del", "dev", link(node), "root");
            }
        }
    }

    /** Packets that the nodes' links carried so far, both ways. */
    long packets() {
        long packets = 0;
        for (String node : numberOf.keySet()) {
            for (String direction : List.of("rx_packets", "tx_packets")) {
                try {
                    packets += Long.parseLong(
                            Files.readString(Path.of("/sys/class/net", link(node), "statistics", direction))
                                    .strip());
                } catch (IOException e) {
                    throw new UncheckedIOException(e);
                }
            }
        }
        return packets;
    }

    private static void must(String... command) {
        String said = run(command);
        if (!said.isEmpty()) {
            throw new IllegalStateException(String.join(" ", command) + ": " + said);
        }
    }

    /** Empty when it went well. */
    private static String run(String... command) {
        try {
            Process process = new ProcessBuilder(new ArrayList<>(Arrays.asList(command)))
                    .redirectErrorStream(true)
                    .start();
            String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8).strip();
            int exit = process.waitFor();
            return exit == 0 ? "" : output.isEmpty() ? "exit code " + exit : output;
        } catch (IOException e) {
            return e.getMessage();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException(e);
        }
    }

    @Override
    public void close() {
        for (String node : numberOf.keySet()) {
            run("ip", "link", "del", link(node));
            run("ip", "netns", "del", space(node));
        }
        run("ip", "link", "del", bridge);
        if (programs != null) {
            run("umount", programs.toString());
            run("rmdir", programs.toString());
        }
    }
}
