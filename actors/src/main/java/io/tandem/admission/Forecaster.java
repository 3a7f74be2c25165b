package io.tandem.admission;

/** What routing knows, as admission sees it. Called by one thread at a time. */
public interface Forecaster {

    /** Predicts for a request that is sent now; must see everything that {@link #book} was told of. */
    Forecast forecast(Applicant applicant, long nowNanos);

    /** What the forecast's time between tokens would be if so many of the decodes there, with so much context, were over. */
    double itlNanos(Applicant applicant, Forecast forecast, int fewerDecodes, double fewerContextTokens);

    /** The request is sent now as the forecast says, so that the next forecast sees it. */
    void book(Applicant applicant, Forecast forecast, long nowNanos);
}
