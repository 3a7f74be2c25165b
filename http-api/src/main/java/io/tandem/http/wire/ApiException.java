package io.tandem.http.wire;

import io.tandem.GenerationException;
import io.tandem.GenerationException.Refusal;

/** A request that is answered with an OpenAI error body. */
public final class ApiException extends RuntimeException {

    private static final int NO_RETRY = 0;

    private final int status;
    private final String type;
    private final String param;
    private final String code;
    private final int retryAfterSeconds;
    private final Refusal refusal;

    private ApiException(int status, String type, String param, String code, int retryAfterSeconds, String message) {
        this(status, type, param, code, retryAfterSeconds, message, null);
    }

    private ApiException(
            int status,
            String type,
            String param,
            String code,
            int retryAfterSeconds,
            String message,
            Refusal refusal) {
        super(message, null, false, false);
        this.refusal = refusal;
        this.status = status;
        this.type = type;
        this.param = param;
        this.code = code;
        this.retryAfterSeconds = retryAfterSeconds;
    }

    /** 400: the field {@code param} (null when it is no single one) is wrong; the message says how to mend it. */
    public static ApiException invalid(String param, String message) {
        return new ApiException(400, "invalid_request_error", param, null, NO_RETRY, message);
    }

    /** 400 with a code of OpenAI's. */
    public static ApiException invalid(String param, String code, String message) {
        return new ApiException(400, "invalid_request_error", param, code, NO_RETRY, message);
    }

    /** Any other refusal of a request that is the client's to mend (401, 404, 405, 408, 413, 415). */
    public static ApiException refused(int status, String code, String message) {
        return new ApiException(status, "invalid_request_error", null, code, NO_RETRY, message);
    }

    public static ApiException modelNotFound(String model, String served) {
        return new ApiException(
                404,
                "invalid_request_error",
                "model",
                "model_not_found",
                NO_RETRY,
                "The model '" + model + "' is not served here; served: " + served);
    }

    /** 429: too much is going on. */
    public static ApiException overloaded(int retryAfterSeconds, String message) {
        return new ApiException(
                429, "rate_limit_error", null, "rate_limit_exceeded", Math.max(1, retryAfterSeconds), message);
    }

    /** 503: nobody there to do it. */
    public static ApiException unavailable(int retryAfterSeconds, String message) {
        return new ApiException(503, "server_error", null, "unavailable", Math.max(1, retryAfterSeconds), message);
    }

    /** 504: the deadline passed. */
    public static ApiException timeout(String message) {
        return new ApiException(504, "timeout_error", null, "timeout", NO_RETRY, message);
    }

    /** 499, as others count it: the client was gone before the answer, and nobody reads this. */
    public static ApiException clientLeft() {
        return refused(499, "client_closed_request", "The client closed its connection before the answer");
    }

    /** 500. */
    public static ApiException internal(String message) {
        return new ApiException(500, "server_error", null, "internal_error", NO_RETRY, message);
    }

    /** What a failed generation is in terms of HTTP. */
    public static ApiException of(GenerationException e) {
        String param = e.param() == null || e.param().isEmpty() ? null : e.param();
        return switch (e.kind()) {
            case INVALID_REQUEST -> invalid(param, e.getMessage());
            case CONTEXT_OVERFLOW -> invalid(param, "context_length_exceeded", e.getMessage());
            case MODEL_NOT_FOUND ->
                new ApiException(404, "invalid_request_error", "model", "model_not_found", NO_RETRY, e.getMessage());
            case OVERLOADED ->
                new ApiException(
                        429,
                        "rate_limit_error",
                        null,
                        "rate_limit_exceeded",
                        Math.max(1, e.retryAfterSeconds()),
                        e.getMessage(),
                        e.refusal().orElse(null));
            case UNAVAILABLE -> unavailable(e.retryAfterSeconds(), e.getMessage());
            case DEADLINE -> timeout(e.getMessage());
            case INTERNAL -> internal(e.getMessage());
        };
    }

    /** HTTP status. */
    public int status() {
        return status;
    }

    public String type() {
        return type;
    }

    /** The field at fault, or null. */
    public String param() {
        return param;
    }

    /** A code programs can test for, or null. */
    public String code() {
        return code;
    }

    /** Seconds after which a new attempt makes sense; 0 = none. */
    public int retryAfterSeconds() {
        return retryAfterSeconds;
    }

    private static double rounded(double millis) {
        return Math.round(millis * 1e3) / 1e3;
    }

    /** Writes {@code {"error":{...}}}; a refusal by prediction has its figures in {@code tandem}. */
    public JsonWriter write(JsonWriter out) {
        out.beginObject().name("error").beginObject();
        out.name("message").value(getMessage());
        out.name("type").value(type);
        out.name("param").value(param);
        out.name("code").value(code);
        if (refusal != null) {
            out.name("tandem").beginObject();
            out.name("service_tier").value(refusal.serviceClass());
            out.name("reason").value(refusal.reason());
            out.name("predicted_ttft_ms").value(rounded(refusal.predictedTtftMs()));
            out.name("ttft_target_ms").value(refusal.ttftTargetMs());
            out.name("predicted_itl_ms").value(rounded(refusal.predictedItlMs()));
            out.name("itl_target_ms").value(refusal.itlTargetMs());
            out.endObject();
        }
        return out.endObject().endObject();
    }
}
