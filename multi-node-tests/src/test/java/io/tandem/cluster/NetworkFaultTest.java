package io.tandem.cluster;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Partitions and packet loss between nodes in network namespaces of their own; docs/benchmarks/faults.md has the command. */
@Tag("slow")
@Timeout(value = 30, unit = TimeUnit.MINUTES)
class NetworkFaultTest {
    private static final List<String> WORKERS = List.of("prefill-0", "mixed-0", "decode-0", "decode-1");
    private static final List<String> NODES = List.of("api", "prefill-0", "mixed-0", "decode-0", "decode-1");
    private static final int CLIENTS = 12;
    private static final double LOSS = 0.01;

    private static final String SETTINGS = ChaosTest.SETTINGS + """
            tandem.http.api-keys = [%s]
            tandem.transfer.mtu-bytes = 1408
            """.formatted(ForkedCluster.KEY);

    @TempDir
    static Path directory;

    private static ForkedCluster start(NetworkSpaces spaces) {
        return start(spaces, List.of("api"));
    }

    private static ForkedCluster start(NetworkSpaces spaces, List<String> apis) {
        return start(spaces, apis, WORKERS, SETTINGS);
    }

    private static ForkedCluster start(NetworkSpaces spaces, List<String> apis, List<String> workers, String settings) {
        Map<String, String> gpus = new LinkedHashMap<>();
        workers.forEach(w -> gpus.put(w, w.substring(0, w.indexOf('-'))));
        return ForkedCluster.start(
                directory,
                new ForkedCluster.Plan(ModelFile.path(), apis, gpus, settings, ForkedCluster.NO_COMPUTE_FLAGS, spaces));
    }

    private static VerifiedLoad load(ForkedCluster cluster) {
        return new VerifiedLoad(cluster, new SimulatedAnswers(ModelFile.path(), 2)::question);
    }

    @Test
    void shouldLoseNothingWhenNodesAreCutOff() {
        try (NetworkSpaces spaces = NetworkSpaces.create(NODES);
                ForkedCluster cluster = start(spaces)) {
            VerifiedLoad load = load(cluster);
            Strikes strikes = new Strikes(cluster, load, 60);
            load.run(CLIENTS, 0, () -> {
                strikes.other("decode-0 cut off for 2.5 s", () -> cutOff(spaces, "decode-0", 2_500));
                strikes.other("prefill-0 cut off for 2.5 s", () -> cutOff(spaces, "prefill-0", 2_500));
                strikes.other("prefill-0 and decode-1 parted for 2.5 s", () -> {
                    spaces.part("prefill-0", "decode-1");
                    Poll.pause(2_500);
                    spaces.join("prefill-0", "decode-1");
                });
                strikes.other("decode-0 cut off for 20 s", () -> cutOff(spaces, "decode-0", 20_000));
            });
            ChaosTest.check(cluster, load, strikes);
        }
    }

    /** Every prompt is split here, so that about half of the answers have their blocks go where there is no way. */
    @Test
    void shouldGoOnElsewhereWhenTwoWorkersDoNotReachEachOther() {
        List<String> workers = List.of("prefill-0", "decode-0", "decode-1");
        List<String> nodes = List.of("api", "prefill-0", "decode-0", "decode-1");
        try (NetworkSpaces spaces = NetworkSpaces.create(nodes);
                ForkedCluster cluster =
                        start(spaces, List.of("api"), workers, SETTINGS + "tandem.routing.policy = least-loaded\n")) {
            VerifiedLoad load = load(cluster);
            Strikes strikes = new Strikes(cluster, load, 100);
            load.run(CLIENTS, 0, () -> {
                for (int millis : new int[] {2_500, 300, 2_500}) {
                    strikes.other("prefill-0 and decode-1 parted for " + millis + " ms", () -> {
                        spaces.part("prefill-0", "decode-1");
                        Poll.pause(millis);
                        spaces.join("prefill-0", "decode-1");
                    });
                }
            });
            ChaosTest.check(cluster, load, strikes);
        }
    }

    @Test
    void shouldLoseNothingWhenOnePacketInAHundredIsLost() {
        try (NetworkSpaces spaces = NetworkSpaces.create(NODES);
                ForkedCluster cluster = start(spaces)) {
            VerifiedLoad load = load(cluster);
            Strikes strikes = new Strikes(cluster, load, 200);
            long[] packets = new long[1];
            load.run(CLIENTS, 0, () -> {
                strikes.other(
                        "1 % of the packets lost",
                        () -> {
                            packets[0] = spaces.packets();
                            spaces.losePackets(LOSS);
                            load.awaitAnswers(400);
                            spaces.loseNoPackets();
                            packets[0] = spaces.packets() - packets[0];
                        });
                strikes.other("none lost", () -> load.awaitAnswers(200));
            });
            System.out.println(packets[0] + " packets while 1 % were lost");
            ChaosTest.check(cluster, load, strikes);
            assertTrue(packets[0] > 1 / LOSS, packets[0] + " packets");
        }
    }

    /** Its clients still reach it, so it must tell them what it cannot do; those of the other API node notice nothing. */
    @Test
    void shouldLoseNothingWhenAnApiNodeReachesNobody() {
        List<String> nodes =
                Stream.concat(Stream.of("api-0", "api-1"), WORKERS.stream()).toList();
        try (NetworkSpaces spaces = NetworkSpaces.create(nodes);
                ForkedCluster cluster = start(spaces, List.of("api-0", "api-1"))) {
            VerifiedLoad load = load(cluster);
            Strikes strikes = new Strikes(cluster, load, 60);
            load.run(CLIENTS, 0, () -> {
                strikes.other("api-1 isolated for 2.5 s", () -> isolate(spaces, "api-1", nodes, 2_500));
                load.allowEnds("api-1");
                strikes.other("api-1 isolated for 20 s", () -> isolate(spaces, "api-1", nodes, 20_000));
            });
            System.out.println("answers that api-1 ended, by error: " + load.ends());
            ChaosTest.check(cluster, load, strikes);
        }
    }

    private static void isolate(NetworkSpaces spaces, String node, List<String> nodes, int millis) {
        List<String> others = nodes.stream().filter(n -> !n.equals(node)).toList();
        others.forEach(other -> spaces.part(node, other));
        Poll.pause(millis);
        others.forEach(other -> spaces.join(node, other));
    }

    private static void cutOff(NetworkSpaces spaces, String node, int millis) {
        spaces.cut(node);
        Poll.pause(millis);
        spaces.mend(node);
    }
}
