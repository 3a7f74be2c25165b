package io.tandem.http.wire;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonLocation;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.core.exc.StreamConstraintsException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.tandem.Failures;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Locale;
import java.util.OptionalLong;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.TimeoutException;
import org.apache.pekko.NotUsed;
import org.apache.pekko.http.javadsl.model.HttpHeader;
import org.apache.pekko.http.javadsl.model.HttpRequest;
import org.apache.pekko.http.javadsl.model.RequestEntity;
import org.apache.pekko.stream.Materializer;
import org.apache.pekko.stream.javadsl.Sink;
import org.apache.pekko.stream.javadsl.Source;
import org.apache.pekko.util.ByteString;
import org.apache.pekko.util.ByteStringBuilder;

/** Reads request bodies: bounded, strict UTF-8, strict JSON. */
public final class JsonBody {

    /** Arrays and objects inside each other at most. */
    public static final int MAX_DEPTH = 64;

    private static final int MAX_NUMBER_CHARS = 64;
    private static final int MAX_NAME_CHARS = 1024;
    private static final Duration DISCARD_TIME = Duration.ofSeconds(2);

    private final ObjectReader reader;
    private final long maxBytes;
    private final Duration timeout;
    private final Materializer materializer;

    /**
     * @param maxBytes of a body
     * @param timeout for the whole body to arrive
     */
    public JsonBody(long maxBytes, Duration timeout, Materializer materializer) {
        this.maxBytes = maxBytes;
        this.timeout = timeout;
        this.materializer = materializer;
        JsonFactory factory = JsonFactory.builder()
                .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
                .disable(StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION)
                .streamReadConstraints(StreamReadConstraints.builder()
                        .maxNestingDepth(MAX_DEPTH)
                        .maxNumberLength(MAX_NUMBER_CHARS)
                        .maxNameLength(MAX_NAME_CHARS)
                        .maxStringLength((int) Math.min(Integer.MAX_VALUE - 8, maxBytes))
                        .build())
                .build();
        reader = JsonMapper.builder(factory)
                .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
                .build()
                .readerFor(JsonNode.class);
    }

    /** Reads a JSON object; the stage fails with {@link ApiException}. */
    public CompletionStage<ObjectNode> read(HttpRequest request) {
        RequestEntity entity = request.entity();
        OptionalLong length = entity.getContentLengthOption();
        if (!isJson(entity.getContentType().toString())) {
            return refuse(
                    entity,
                    ApiException.refused(
                            415,
                            "unsupported_media_type",
                            "Content-Type must be application/json, not "
                                    + entity.getContentType().mediaType()));
        }
        String encoding =
                request.getHeader("content-encoding").map(HttpHeader::value).orElse("identity");
        if (!encoding.equalsIgnoreCase("identity")) {
            return refuse(
                    entity,
                    ApiException.refused(
                            415,
                            "unsupported_content_encoding",
                            "Content-Encoding must be identity, not " + encoding + ": send the body as it is"));
        }
        if (length.isPresent() && length.getAsLong() > maxBytes) {
            return refuse(entity, tooLarge());
        }
        return collect(entity).thenApply(this::parse);
    }

    /** Lets a body go by that nobody wants, so that the connection can be used again. */
    public void discard(RequestEntity entity) {
        if (!entity.isStrict()) {
            entity.withoutSizeLimit().getDataBytes().takeWithin(DISCARD_TIME).runWith(Sink.ignore(), materializer);
        }
    }

    /** The same, and completes when it is by: an answer before that is a warning in the log. */
    public CompletionStage<Void> letBy(RequestEntity entity) {
        if (entity.isStrict()) {
            return CompletableFuture.completedFuture(null);
        }
        return entity.withoutSizeLimit()
                .getDataBytes()
                .mapMaterializedValue(ignored -> NotUsed.getInstance())
                .takeWithin(DISCARD_TIME)
                .runWith(Sink.ignore(), materializer)
                .handle((done, failure) -> null);
    }

    ObjectNode parse(ByteString body) {
        if (body.isEmpty()) {
            throw ApiException.invalid(null, "The body is empty; it must be a JSON object");
        }
        String text;
        try {
            text = StandardCharsets.UTF_8
                    .newDecoder()
                    .decode(ByteBuffer.wrap(body.toArrayUnsafe()))
                    .toString();
        } catch (CharacterCodingException e) {
            throw ApiException.invalid(null, "The body is not UTF-8");
        }
        JsonNode node;
        try {
            node = reader.readValue(text);
        } catch (JsonProcessingException e) {
            throw ApiException.invalid(null, "The body is not valid JSON: " + describe(e));
        }
        if (node instanceof ObjectNode object) {
            return object;
        }
        throw ApiException.invalid(null, "The body must be a JSON object");
    }

    private CompletionStage<ByteString> collect(RequestEntity entity) {
        Source<ByteString, Object> bytes = entity.withoutSizeLimit().getDataBytes();
        return bytes.completionTimeout(timeout)
                .runFold(new ByteStringBuilder(), this::append, materializer)
                .handle((builder, failure) -> {
                    if (failure == null) {
                        return builder.result();
                    }
                    Throwable cause = Failures.cause(failure);
                    if (cause instanceof TimeoutException) {
                        throw ApiException.refused(408, "request_timeout", "The body did not arrive in time");
                    }
                    throw cause instanceof ApiException api
                            ? api
                            : ApiException.invalid(null, "The body could not be read to its end");
                });
    }

    private ByteStringBuilder append(ByteStringBuilder builder, ByteString piece) {
        if (builder.length() + (long) piece.size() > maxBytes) {
            throw tooLarge();
        }
        return builder.append(piece);
    }

    private <T> CompletionStage<T> refuse(RequestEntity entity, ApiException refusal) {
        // A client that is still sending may not read its answer if the connection breaks under it.
        return letBy(entity).thenApply(done -> {
            throw refusal;
        });
    }

    private ApiException tooLarge() {
        return ApiException.refused(
                413, "request_too_large", "The body is larger than " + maxBytes + " bytes; send less");
    }

    private static boolean isJson(String contentType) {
        String type = contentType.toLowerCase(Locale.ROOT);
        int parameters = type.indexOf(';');
        String media = (parameters < 0 ? type : type.substring(0, parameters)).strip();
        return media.equals("application/json") || (media.startsWith("application/") && media.endsWith("+json"));
    }

    private static String describe(JsonProcessingException e) {
        JsonLocation at = e.getLocation();
        // The parser goes on with settings of its own, which mean nothing to a client.
        String message = e instanceof StreamConstraintsException
                ? "nested deeper than " + MAX_DEPTH + ", a number of more than " + MAX_NUMBER_CHARS
                        + " characters or a name of more than " + MAX_NAME_CHARS
                : e.getOriginalMessage().replaceFirst("(?s) \\(start marker at .*|: enable `.*", "");
        return at == null ? message : message + " (line " + at.getLineNr() + ", column " + at.getColumnNr() + ")";
    }
}
