package io.tandem.http.openai;

import io.tandem.http.wire.ApiException;
import io.tandem.http.wire.Responses;
import org.apache.pekko.event.LoggingAdapter;
import org.apache.pekko.http.ParsingErrorHandler;
import org.apache.pekko.http.javadsl.model.HttpResponse;
import org.apache.pekko.http.scaladsl.model.ErrorInfo;
import org.apache.pekko.http.scaladsl.model.StatusCode;
import org.apache.pekko.http.scaladsl.settings.ServerSettings;

/** Gives requests that are no HTTP the same error body as all others; named in reference.conf. */
public final class UnparsableRequests extends ParsingErrorHandler {

    @Override
    public HttpResponse handle(StatusCode status, ErrorInfo info, LoggingAdapter log, ServerSettings settings) {
        int code = status.intValue() == 500 ? 400 : status.intValue();
        return Responses.error(ApiException.refused(code, "malformed_request", info.summary()));
    }
}
