package io.tandem;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.typesafe.config.Config;
import com.typesafe.config.ConfigFactory;
import com.typesafe.config.ConfigParseOptions;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Properties;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class SettingNamesTest {
    private static final Config REFERENCE = ConfigFactory.defaultReferenceUnresolved();

    private static void check(Config user) {
        SettingNames.check(user.withFallback(REFERENCE).resolve(), REFERENCE);
    }

    private static Config properties(String key) {
        Properties one = new Properties();
        one.setProperty(key, "1");
        return ConfigFactory.parseProperties(
                one, ConfigParseOptions.defaults().setOriginDescription("system properties"));
    }

    private static String refusal(Config user) {
        return assertThrows(IllegalArgumentException.class, () -> check(user)).getMessage();
    }

    @Test
    void shouldNameTheKeyItsFileAndLineAndTheOneMostLikeIt(@TempDir Path folder) throws Exception {
        Path file = folder.resolve("node.conf");
        Files.writeString(file, "tandem.node {\n  port = 7481\n  worker-time-out = 1s\n}\n");
        assertEquals(
                "unknown setting tandem.node.worker-time-out in " + file
                        + ": 3; did you mean tandem.node.worker-timeout?",
                refusal(ConfigFactory.parseFile(file.toFile())));
    }

    @ParameterizedTest
    @CsvSource({
        "tandem.compute.threds, tandem.compute.threads",
        "tandem.engine.threads, tandem.compute.threads",
        "tandem.compute.cuda.memory-fractoin, tandem.compute.cuda.memory-fraction",
        "tandem.transport.host, tandem.transfer.host",
        "tandem.admission.classes.gold.ttft, tandem.admission.classes.gold.ttft-target",
        "tandem.admission.tenants.acme.wieght, tandem.admission.tenants.acme.weight",
    })
    void shouldSayWhichOneIsMeant(String typo, String meant) {
        String said = refusal(ConfigFactory.parseString(typo + " = 1"));
        assertTrue(said.startsWith("unknown setting " + typo + " in "), said);
        assertTrue(said.endsWith("did you mean " + meant + "?"), said);
    }

    @Test
    void shouldLookIntoTheEntriesOfLists() {
        String said = refusal(ConfigFactory.parseString(
                "tandem.node.gpus = [{ id = a, role = mixed }, { id = b, roles = [decode] }]"));
        assertTrue(said.contains("tandem.node.gpus.1.roles"), said);
        assertTrue(said.endsWith("did you mean tandem.node.gpus.1.role?"), said);
    }

    @Test
    void shouldNameAllOfAFewAndCountManyMore() {
        StringBuilder text = new StringBuilder("tandem.htpp {");
        for (int i = 0; i < 11; i++) {
            text.append(" key").append(i).append(" = 1,");
        }
        String said = refusal(ConfigFactory.parseString(text.append("}").toString()));
        assertEquals(10, said.lines().count(), said);
        assertTrue(said.startsWith("unknown settings:\n  tandem.htpp.key0 in "), said);
        assertTrue(said.endsWith("\n  and 3 more"), said);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "tandem.node { gpus = [{ id = gpu-0, role = prefill }], seeds = [\"a:1\"] }",
                "tandem.admission.classes { flex = null, gold { ttft-target = 1s, itl-target = 50ms, weight = 1 } }",
                "tandem.admission.tenants { key-1f3a52c9 { weight = 4 }, \"a.b\" { weight = 2 } }",
                "tandem.http.pekko-http-server.parsing.max-uri-length = 4k",
                "tandem.transfer.host = ${tandem.node.host}",
                "other.tandem.nonsense = 1"
            })
    void shouldTakeWhatIsTheUsersToName(String settings) {
        // The HTTP server's settings are those of another module, which is not here.
        Config http = ConfigFactory.parseString("tandem.http.pekko-http-server { max-connections = 4 }");
        Config reference = http.withFallback(REFERENCE);
        Config all = ConfigFactory.parseString(settings).withFallback(reference).resolve();
        assertDoesNotThrow(() -> SettingNames.check(all, reference));
    }

    @ParameterizedTest
    @ValueSource(strings = {"tandem.repo.root", "tandem.aot", "tandem.node-flags", "tandem.chaos.requests"})
    void shouldLetPropertiesOfOtherProgramsBe(String property) {
        assertDoesNotThrow(() -> check(properties(property)));
        assertThrows(IllegalArgumentException.class, () -> check(ConfigFactory.parseString(property + " = 1")));
    }

    @ParameterizedTest
    @ValueSource(strings = {"tandem.nodes.port", "tandem.node.prot", "tandem.transfre.port"})
    void shouldRefusePropertiesThatMeanASetting(String property) {
        assertTrue(refusal(properties(property)).startsWith("unknown setting " + property + " in system properties"));
    }

    @Test
    void shouldTakeListsMadeOfProperties() {
        assertDoesNotThrow(() -> check(properties("tandem.node.seeds.0")));
        assertDoesNotThrow(() -> check(properties("tandem.node.gpus.0.id")));
    }

    @Test
    void shouldKnowWhatAServiceClassHas() {
        Config classes = REFERENCE.getConfig("tandem.admission.classes");
        Set<String> has = classes.getObject("default").keySet();
        has.forEach(key -> assertDoesNotThrow(
                () -> check(ConfigFactory.parseString("tandem.admission.classes.gold." + key + " = 1"))));
    }
}
