package io.tandem.chat;

import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDateTime;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;

/** Published templates against jinja2's renderings. The templates are their authors' and lie beside the repository. */
class ChatTemplateGoldenTest {
    private static final List<String> MUST_BE_EQUAL = List.of("SmolLM", "Llama", "Qwen", "Mistral", "Ministral");
    private static final ObjectMapper JSON = new ObjectMapper();

    @Test
    void shouldRenderThePublishedTemplatesAsJinja2Does() throws IOException {
        Path folder = folder();
        Assumptions.assumeTrue(Files.isDirectory(folder), "skipped: no " + folder);
        Map<String, int[]> table = new TreeMap<>();
        List<String> failures = new ArrayList<>();
        Map<String, Object> parsed = new HashMap<>();
        for (String line : Files.readAllLines(folder.resolve("cases.jsonl"))) {
            JsonNode row = JSON.readTree(line);
            String name = row.path("template").asText();
            Object template = parsed.computeIfAbsent(name, n -> parse(folder, n));
            String problem = problem(template, row);
            int[] counts = table.computeIfAbsent(name.split("[-_.]")[0], f -> new int[2]);
            counts[1]++;
            counts[0] += problem.isEmpty() ? 1 : 0;
            if (!problem.isEmpty()) {
                failures.add(name + " " + row.path("set").asText() + ": " + problem);
            }
        }
        table.forEach((family, c) -> System.out.printf("| %s | %d of %d |%n", family, c[0], c[1]));
        System.out.println(String.join("\n", failures.subList(0, Math.min(40, failures.size()))));
        List<String> binding = failures.stream()
                .filter(f -> MUST_BE_EQUAL.stream().anyMatch(f::startsWith))
                .toList();
        assertTrue(binding.isEmpty(), () -> binding.size() + " differ, e.g. " + binding.getFirst());
    }

    private static Path folder() {
        Path root = Path.of(System.getProperty("tandem.repo.root", System.getProperty("user.dir")));
        String given = System.getenv("TANDEM_SHARED");
        Path shared = given != null ? Path.of(given) : root.resolve("../shared");
        return shared.resolve("golden/chat-templates").normalize();
    }

    private static Object parse(Path folder, String name) {
        try {
            String source = Files.readString(folder.resolve("templates/" + name + ".jinja"));
            return JinjaChatTemplate.parse(source, () -> LocalDateTime.of(2026, 11, 24, 12, 0));
        } catch (IOException | RuntimeException e) {
            return e;
        }
    }

    private static String problem(Object template, JsonNode row) {
        if (!(template instanceof JinjaChatTemplate chat)) {
            return template.toString();
        }
        Map<String, Object> context = new HashMap<>();
        row.path("ctx")
                .properties()
                .forEach(e -> context.put(e.getKey(), JSON.convertValue(e.getValue(), Object.class)));
        try {
            String rendered = chat.render(context);
            String expected = row.path("expected").asText();
            return !row.has("expected")
                    ? "should be refused"
                    : rendered.equals(expected) ? "" : difference(expected, rendered);
        } catch (ChatTemplateException e) {
            return row.has("error") ? "" : e.getMessage();
        }
    }

    private static String difference(String expected, String rendered) {
        int i = 0;
        while (i < Math.min(expected.length(), rendered.length()) && expected.charAt(i) == rendered.charAt(i)) {
            i++;
        }
        int from = Math.max(0, i - 20);
        return ("want <" + expected.substring(from, Math.min(expected.length(), i + 30)) + "> got <"
                        + rendered.substring(from, Math.min(rendered.length(), i + 30)) + ">")
                .replace("\n", "\\n");
    }
}
