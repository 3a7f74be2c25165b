package io.tandem.chat;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class JinjaTest {
    private static String render(String template, Map<String, Object> context) {
        return JinjaChatTemplate.parse(template).render(context);
    }

    @ParameterizedTest
    @CsvSource(
            delimiterString = "=>",
            value = {
                "'{{ 1 + 2 * 3 }}' => 7",
                "'{{ 7 // 2 }} {{ 7 % 3 }} {{ 2 ** 10 }}' => '3 1 1024'",
                "'{{ \"a\" ~ 1 ~ none }}' => 'a1None'",
                "'{{ [1, 2, 3][-1] }}{{ \"abc\"[1:] }}{{ \"abc\"[::-1] }}' => 3bccba",
                "'{% for x in [1, 2] %}{{ loop.index }}{{ \",\" if not loop.last }}{% endfor %}' => '1,2'",
                "'{% for x in [] %}x{% else %}none{% endfor %}' => none",
                "'{% set ns = namespace(n=0) %}{% for x in range(4) %}{% set ns.n = ns.n + x %}{% endfor %}{{ ns.n }}' => 6",
                "'{% macro m(a, b=2) %}{{ a }}-{{ b }}{% endmacro %}{{ m(1) }}' => 1-2",
                "'a{# not seen #}b' => ab",
                "'{%- if true -%}  x  {%- endif -%}' => x",
                "'{{ missing is defined }}{{ missing or \"d\" }}' => Falsed",
                "'{{ {\"b\": 1, \"a\": [true, none]} | tojson }}' => '{\"b\": 1, \"a\": [true, null]}'"
            })
    void shouldRenderAsJinjaDoes(String template, String expected) {
        assertEquals(expected, render(template, Map.of()));
    }

    @Test
    void shouldNeverInterpretWhatAUserWrote() {
        String evil = "{{ 7 * 7 }}{% for x in range(99) %}x{% endfor %}{# gone #}";
        Map<String, Object> context = Map.of("messages", List.of(Map.of("role", "user", "content", evil)));
        String template = "{% for m in messages %}<{{ m.role }}>{{ m['content'] }}</s>{% endfor %}";
        assertEquals("<user>" + evil + "</s>", render(template, context));
    }

    /** A null in a message is its sender's mistake, or the template's, and is told as such. */
    @ParameterizedTest
    @ValueSource(
            strings = {"{% for k, v in x | items %}{{ k }}{% endfor %}", "{{ 'a'.startswith(x) }}", "{{ 'a'.find(x) }}"
            })
    void shouldRefuseNoneWhereAValueIsNeeded(String template) {
        Map<String, Object> context = new HashMap<>();
        context.put("x", null);
        assertThrows(ChatTemplateException.class, () -> render(template, context));
    }

    @Test
    void shouldTellARefusalOfTheTemplateFromAnErrorInIt() {
        ChatTemplateException refusal = assertThrows(
                ChatTemplateException.class, () -> render("\n{{ raise_exception('roles must alternate') }}", Map.of()));
        assertTrue(refusal.raisedByTemplate());
        assertTrue(refusal.getMessage().contains("roles must alternate"));
        ChatTemplateException error = assertThrows(
                ChatTemplateException.class, () -> render("a\nb\n{{ x | no_such_filter }}", Map.of("x", 1)));
        assertFalse(error.raisedByTemplate());
        assertEquals(3, error.line());
        assertTrue(error.getMessage().contains("no_such_filter"), error.getMessage());
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "{% import 'os' as os %}",
                "{% include 'x' %}",
                "{{ unclosed",
                "{% if a %}",
                "{% endfor %}",
                "{{ ''.__class__.__mro__ }}",
                "{{ 'a' * 99999999 }}",
                "{% for a in range(10000) %}{% for b in range(10000) %}{% endfor %}{% endfor %}",
                "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
                "{{ range(10 ** 12) }}",
                "{{ 10 ** 400000000 }}",
                "{{ 9223372036854775807 + 1 }}"
            })
    void shouldRefuseWhatItDoesNotKnowAndWhatDoesNotEnd(String template) {
        assertThrows(ChatTemplateException.class, () -> render(template, Map.of()));
    }

    @Test
    void shouldNotOverflowTheStackOnNesting() {
        assertThrows(ChatTemplateException.class, () -> render("{{ " + "(".repeat(100_000), Map.of()));
        assertThrows(
                ChatTemplateException.class,
                () -> render("{{ " + "[".repeat(5_000) + "]".repeat(5_000) + " }}", Map.of()));
        assertThrows(ChatTemplateException.class, () -> render("{% if 1 %}".repeat(5_000), Map.of()));
        assertThrows(ChatTemplateException.class, () -> render("{{ " + "not ".repeat(50_000) + "x }}", Map.of()));
        assertThrows(ChatTemplateException.class, () -> render("{{ " + "-".repeat(50_000) + "1 }}", Map.of()));
        assertThrows(ChatTemplateException.class, () -> render("{{ 1" + " + 1".repeat(50_000) + " }}", Map.of()));
        assertThrows(ChatTemplateException.class, () -> render("{{ 'x'" + "|upper".repeat(50_000) + " }}", Map.of()));
        assertThrows(ChatTemplateException.class, () -> render("{{ x" + ".a".repeat(50_000) + " }}", Map.of()));
        assertThrows(ChatTemplateException.class, () -> render("{{ 2" + " ** 1".repeat(50_000) + " }}", Map.of()));
        assertEquals("1001", render("{{ 1" + " + 1".repeat(1_000) + " }}", Map.of()));
    }

    @Test
    void shouldLeaveTheCallersDataAlone() {
        List<Object> list = new java.util.ArrayList<>(List.of("a"));
        render("{% set x = l.append('b') %}{{ l }}", Map.of("l", list));
        assertEquals(List.of("a"), list);
    }
}
