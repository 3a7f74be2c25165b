package io.tandem.chat;

import io.tandem.chat.JinjaNode.Stmt;
import java.time.LocalDateTime;
import java.time.ZoneId;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;

/** A chat template in the Jinja that models ship, parsed once. */
public final class JinjaChatTemplate implements ChatTemplate {
    private static final int MAX_TEMPLATE_CHARS = 1 << 20;

    private final List<Stmt> template;
    private final Supplier<LocalDateTime> clock;

    private JinjaChatTemplate(List<Stmt> template, Supplier<LocalDateTime> clock) {
        this.template = template;
        this.clock = clock;
    }

    /** @throws ChatTemplateException with the line of what is not understood */
    public static JinjaChatTemplate parse(String source) {
        return parse(source, () -> LocalDateTime.now(ZoneId.systemDefault()));
    }

    /** With a clock of one's own behind {@code strftime_now}. */
    static JinjaChatTemplate parse(String source, Supplier<LocalDateTime> clock) {
        if (source.length() > MAX_TEMPLATE_CHARS) {
            throw new ChatTemplateException(
                    "the template has " + source.length() + " characters; the limit is " + MAX_TEMPLATE_CHARS,
                    0,
                    false);
        }
        return new JinjaChatTemplate(JinjaParser.parse(source), clock);
    }

    @Override
    public String render(Map<String, Object> context) {
        Map<String, Object> copy = new LinkedHashMap<>();
        context.forEach((key, value) -> copy.put(key, normal(value)));
        return new JinjaInterpreter(copy, clock).render(template);
    }

    /** Copies, so that no template changes a caller's data, with whole numbers as long. */
    private static Object normal(Object value) {
        return switch (value) {
            case Map<?, ?> m -> {
                Map<Object, Object> copy = new LinkedHashMap<>();
                m.forEach((k, v) -> copy.put(k, normal(v)));
                yield copy;
            }
            case List<?> l -> {
                List<Object> copy = new ArrayList<>();
                l.forEach(v -> copy.add(normal(v)));
                yield copy;
            }
            case Integer i -> (Long) i.longValue();
            case Short i -> (Long) i.longValue();
            case Float f -> (Double) f.doubleValue();
            case null -> null;
            default -> value;
        };
    }
}
