package io.tandem.http.wire;

import io.tandem.Failures;
import io.tandem.GenerationException;
import java.util.concurrent.TimeoutException;
import org.apache.pekko.http.javadsl.model.ContentTypes;
import org.apache.pekko.http.javadsl.model.HttpResponse;
import org.apache.pekko.http.javadsl.model.StatusCodes;
import org.apache.pekko.http.javadsl.model.headers.RawHeader;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Builds responses. */
public final class Responses {

    public static final String REQUEST_ID_HEADER = "x-request-id";
    private static final Logger LOG = LoggerFactory.getLogger(Responses.class);

    private Responses() {}

    /** A JSON body. */
    public static HttpResponse json(int status, JsonWriter body) {
        return HttpResponse.create()
                .withStatus(StatusCodes.lookup(status).orElseGet(() -> StatusCodes.custom(status, "", "")))
                .withEntity(ContentTypes.APPLICATION_JSON, body.toBytes());
    }

    /** The OpenAI error body, with Retry-After where a new attempt makes sense. */
    public static HttpResponse error(ApiException error) {
        HttpResponse response = json(error.status(), error.write(new JsonWriter(256)));
        if (error.retryAfterSeconds() > 0) {
            response = response.addHeader(RawHeader.create("Retry-After", Integer.toString(error.retryAfterSeconds())));
        }
        if (error.status() == 401) {
            response = response.addHeader(RawHeader.create("WWW-Authenticate", "Bearer"));
        }
        return response;
    }

    /** What any failure is for a client; an unexpected one is logged and tells no detail. */
    public static ApiException asApiException(Throwable failure) {
        Throwable cause = Failures.cause(failure);
        return switch (cause) {
            case ApiException api -> api;
            case GenerationException generation -> ApiException.of(generation);
            case TimeoutException timeout -> ApiException.timeout("The request did not end in time");
            default -> {
                LOG.error("A request failed unexpectedly", cause);
                yield ApiException.internal("The server failed on this request; its log says more");
            }
        };
    }
}
