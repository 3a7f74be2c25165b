package io.tandem.chat;

import java.util.Map;

/** A model's own chat template. Immutable and safe for any thread. */
public interface ChatTemplate {

    /**
     * Renders a conversation.
     *
     * @param context the template's variables as plain Java values (Map, List, String, Number, Boolean, null):
     *     {@code messages}, {@code add_generation_prompt}, {@code tools}, {@code bos_token}, ...
     * @throws ChatTemplateException when the template refuses the conversation or uses what the interpreter does not know;
     *     the message names the template's line
     */
    String render(Map<String, Object> context);
}
