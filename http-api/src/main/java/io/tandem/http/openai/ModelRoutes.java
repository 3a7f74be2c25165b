package io.tandem.http.openai;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.tandem.TandemClient;
import io.tandem.http.wire.ApiException;
import io.tandem.http.wire.Fields;
import io.tandem.http.wire.JsonWriter;
import io.tandem.http.wire.Responses;
import io.tandem.model.ModelBundle;
import java.time.Instant;
import java.util.Set;
import org.apache.pekko.http.javadsl.model.HttpResponse;

/** The served models and their tokenizers. */
final class ModelRoutes {

    private static final Set<String> TOKENIZE_FIELDS = Set.of("model", "prompt", "add_special_tokens", "parse_special");
    private static final Set<String> DETOKENIZE_FIELDS = Set.of("model", "tokens");

    private final TandemClient client;
    private final CompletionParser parser;
    private final long created = Instant.now().getEpochSecond();

    ModelRoutes(TandemClient client, CompletionParser parser) {
        this.client = client;
        this.parser = parser;
    }

    HttpResponse list() {
        JsonWriter out = new JsonWriter(256).beginObject();
        out.name("object").value("list").name("data").beginArray();
        client.models().forEach(model -> write(out, model));
        return Responses.json(200, out.endArray().endObject());
    }

    HttpResponse one(String name) {
        JsonWriter out = new JsonWriter(256);
        write(out, parser.served(name));
        return Responses.json(200, out);
    }

    HttpResponse tokenize(ObjectNode node) {
        Fields body = only(node, TOKENIZE_FIELDS);
        int[] ids = parser.modelOrOnly(body)
                .tokenizer()
                .encode(
                        body.requiredText("prompt"),
                        body.flag("add_special_tokens", false),
                        body.flag("parse_special", true));
        JsonWriter out = new JsonWriter(16 + 7 * ids.length).beginObject();
        out.name("tokens").ints(ids).name("count").value(ids.length);
        return Responses.json(200, out.endObject());
    }

    HttpResponse detokenize(ObjectNode node) {
        Fields body = only(node, DETOKENIZE_FIELDS);
        ModelBundle model = parser.modelOrOnly(body);
        JsonNode tokens = body.raw("tokens");
        if (tokens == null) {
            throw ApiException.invalid("tokens", "tokens is required");
        }
        int[] ids = tokens.isArray() && tokens.isEmpty()
                ? new int[0]
                : CompletionParser.tokenIds(tokens, "tokens", model.tokenizer().vocabSize());
        JsonWriter out = new JsonWriter(256).beginObject();
        out.name("prompt").value(model.tokenizer().decode(ids));
        return Responses.json(200, out.endObject());
    }

    private void write(JsonWriter out, ModelBundle model) {
        out.beginObject().name("id").value(model.name());
        out.name("object").value("model");
        out.name("created").value(created);
        out.name("owned_by").value("tandem");
        out.name("max_model_len").value(client.maxTokens(model));
        out.name("fingerprint").value(model.fingerprint());
        out.endObject();
    }

    private static Fields only(ObjectNode node, Set<String> known) {
        node.fieldNames().forEachRemaining(name -> {
            if (!known.contains(name)) {
                throw ApiException.invalid(name, "unknown_field", "unknown field '" + name + "'; leave it out");
            }
        });
        return new Fields(node, "");
    }
}
