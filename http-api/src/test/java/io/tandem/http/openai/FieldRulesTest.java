package io.tandem.http.openai;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.tandem.http.wire.ApiException;
import io.tandem.http.wire.Fields;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;

/** What docs/http-api.md says of fields is what the parser does. */
class FieldRulesTest {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final Pattern QUOTED = Pattern.compile("`([^`]+)`");

    private static String section() throws Exception {
        String page = Files.readString(Path.of(System.getProperty("tandem.repo.root"), "docs", "http-api.md"));
        int start = page.indexOf("## Fields of completions");
        return page.substring(start, page.indexOf("\nMessages:", start));
    }

    private static Set<String> quoted(String text) {
        Set<String> names = new TreeSet<>();
        for (Matcher m = QUOTED.matcher(text); m.find(); ) {
            names.add(m.group(1));
        }
        return names;
    }

    /** The fields and the values of the table of refusals. */
    private static Map<String, JsonNode> refused() throws Exception {
        Map<String, JsonNode> refused = new TreeMap<>();
        String table = section().split("\\| Refused \\|", 2)[1];
        for (String row :
                table.lines().skip(2).takeWhile(l -> l.startsWith("|")).toList()) {
            String[] cells = row.split("\\|");
            JsonNode passes = JSON.readTree(cells[2].replace("`", "").strip());
            quoted(cells[1]).forEach(name -> refused.put(name, passes));
        }
        return refused;
    }

    private static void check(String name, JsonNode value) {
        ObjectNode body = JSON.createObjectNode();
        body.set(name, value);
        FieldRules.check(new Fields(body, ""), true);
    }

    @Test
    void shouldDocumentEveryField() throws Exception {
        Set<String> missing = new TreeSet<>(FieldRules.names());
        missing.removeAll(quoted(section()));
        // Documented with the field inside it.
        missing.remove("stream_options");
        assertEquals(Set.of(), missing);
    }

    @Test
    void shouldRefuseWhatIsDocumentedAsRefusedUnlessItMeansOff() throws Exception {
        Map<String, JsonNode> refused = refused();
        assertTrue(refused.size() > 25, refused.toString());
        refused.forEach((name, passes) -> {
            check(name, passes);
            ApiException e = assertThrows(
                    ApiException.class, () -> check(name, JSON.createArrayNode().add("x")), name);
            assertEquals(400, e.status(), name);
            assertTrue(e.getMessage().startsWith("'" + name + "' is not supported"), e.getMessage());
        });
    }

    @Test
    void shouldTakeWhatIsDocumentedAsHarmless() throws Exception {
        String line = section().split("without effect: ", 2)[1].split("\n", 2)[0];
        Set<String> harmless = quoted(line);
        assertTrue(harmless.size() > 4, line);
        harmless.forEach(name -> check(name, JSON.createObjectNode().put("any", 1)));
    }
}
