package io.tandem.architecture;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** The arrows between the modules, the names that say nothing, and that the documents tell the truth. */
class ArchitectureTest {
    private static final String[] GPU_BRIDGE = {
        "io.tandem.engine..",
        "io.tandem.scheduling..",
        "io.tandem.kvcache..",
        "io.tandem.model..",
        "io.tandem.weights..",
        "io.tandem.tokenizer..",
        "io.tandem.chat..",
        "io.tandem.sampling..",
        "io.tandem.compute.."
    };
    private static final String[] ACTORS = {
        "io.tandem",
        "io.tandem.request..",
        "io.tandem.worker..",
        "io.tandem.routing..",
        "io.tandem.lifeline..",
        "io.tandem.supervisor..",
        "io.tandem.admission..",
        "io.tandem.simulation..",
        "io.tandem.serialization.."
    };
    private static final List<String> BANNED =
            List.of("util", "common", "impl", "core", "manager", "service", "misc", "dto");

    private static JavaClasses classes;
    private static Path root;

    @BeforeAll
    static void read() {
        classes = new ClassFileImporter()
                .withImportOption(ImportOption.Predefined.DO_NOT_INCLUDE_TESTS)
                .importPackages("io.tandem");
        root = Path.of(System.getProperty("tandem.repo.root"));
        assertTrue(classes.size() > 150, "the classes of all modules are on the class path");
    }

    @Test
    void shouldKeepComputeFreeOfTransportActorsAndHttp() {
        noClasses()
                .that()
                .resideInAnyPackage(GPU_BRIDGE)
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage("io.tandem.transfer..", "org.apache.pekko..", "io.aeron..", "io.tandem.http..")
                .orShould()
                .dependOnClassesThat()
                .resideInAnyPackage(ACTORS)
                .check(classes);
    }

    @Test
    void shouldKeepTransportFreeOfComputeActorsAndHttp() {
        noClasses()
                .that()
                .resideInAPackage("io.tandem.transfer..")
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage(GPU_BRIDGE)
                .orShould()
                .dependOnClassesThat()
                .resideInAnyPackage("org.apache.pekko..", "io.tandem.http..")
                .orShould()
                .dependOnClassesThat()
                .resideInAnyPackage(ACTORS)
                .check(classes);
    }

    @Test
    void shouldKeepActorsFreeOfHttpAndCommandLine() {
        noClasses()
                .that()
                .resideInAnyPackage(ACTORS)
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage(
                        "io.tandem.http..", "io.tandem.cli..", "io.tandem.node..", "org.apache.pekko.http..")
                .check(classes);
    }

    @Test
    void shouldLetHttpSeeTheEmbeddingApiOnly() {
        noClasses()
                .that()
                .resideInAPackage("io.tandem.http..")
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage(
                        "io.tandem.request..",
                        "io.tandem.worker..",
                        "io.tandem.routing..",
                        "io.tandem.lifeline..",
                        "io.tandem.supervisor..",
                        "io.tandem.transfer..",
                        "io.tandem.cli..",
                        "io.tandem.node..")
                .check(classes);
    }

    @Test
    void shouldKeepPoliciesFreeOfPekkoAndClocks() {
        noClasses()
                .that()
                .haveNameMatching(
                        ".*\\.(RoutingPolicy|RequestLifecycle|Scheduler|BlockPool|AdmissionPolicy|FairQueue|DrainRate|DecodeEnds|Lifelines|WorkerRoster)")
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage("org.apache.pekko.actor.typed.javadsl..", "java.util.concurrent..", "java.net..")
                .orShould()
                .callMethod(System.class, "nanoTime")
                .orShould()
                .callMethod(System.class, "currentTimeMillis")
                .check(classes);
    }

    @Test
    void shouldNotUseNamesThatSayNothing() {
        Set<String> found = classes.stream()
                .map(c -> c.getPackageName())
                .filter(p -> Stream.of(p.split("\\.")).anyMatch(BANNED::contains))
                .collect(Collectors.toCollection(TreeSet::new));
        assertTrue(found.isEmpty(), found.toString());
    }

    /** Nothing in the repository points at one machine, and every setting says what it is for. */
    @Test
    void shouldSpeakOfTheProductAlone() throws IOException {
        Pattern wrong = Pattern.compile("/(work|home|root|Users)/[a-z]|\\b(TODO|FIXME|XXX|HACK)\\b");
        List<String> found = new java.util.ArrayList<>();
        for (Path file : textFiles()) {
            int line = 0;
            for (String text : Files.readAllLines(file)) {
                line++;
                if (wrong.matcher(text).find() && !text.contains("Pattern.compile")) {
                    found.add(root.relativize(file) + ":" + line + " " + text.strip());
                }
            }
        }
        assertTrue(found.isEmpty(), String.join("\n", found));
    }

    private static List<Path> textFiles() throws IOException {
        Set<String> kinds = Set.of("java", "md", "sh", "conf", "xml", "yaml", "py", "cu", "cuh", "service");
        try (Stream<Path> files = Files.walk(root)) {
            List<Path> texts = files.filter(Files::isRegularFile)
                    .filter(f -> Stream.of("target", ".git", ".tandem", ".gpu")
                            .noneMatch(d -> root.relativize(f).toString().contains(d + "/")))
                    .filter(f ->
                            kinds.contains(f.toString().substring(f.toString().lastIndexOf('.') + 1)))
                    .toList();
            assertTrue(texts.size() > 200, "files were found");
            return texts;
        }
    }

    @Test
    void shouldDocumentEverySetting() throws IOException {
        int settings = 0;
        for (String module : List.of("gpu-bridge", "transport", "actors", "http-api")) {
            List<String> lines = Files.readAllLines(root.resolve(module + "/src/main/resources/reference.conf"));
            boolean explained = false;
            for (String text : lines) {
                String line = text.strip();
                if (line.startsWith("#")) {
                    explained = true;
                } else if (line.isEmpty()) {
                    explained = false;
                } else if (line.matches("[a-z0-9-]+ *=.*")) {
                    settings++;
                    assertTrue(explained, module + ": '" + line + "' has no comment above it");
                }
            }
        }
        assertTrue(settings > 60, settings + " settings");
    }

    @Test
    void shouldNameInTheArchitecturePageOnlyClassesThatExist() throws IOException {
        Set<String> known = classes.stream().map(c -> c.getSimpleName()).collect(Collectors.toSet());
        Matcher names =
                Pattern.compile("`([A-Z][A-Za-z0-9]+)`").matcher(Files.readString(root.resolve("ARCHITECTURE.md")));
        int count = 0;
        while (names.find()) {
            count++;
            assertTrue(known.contains(names.group(1)), "ARCHITECTURE.md names " + names.group(1));
        }
        assertTrue(count >= 15, "the page names the classes of a request's life");
    }
}
