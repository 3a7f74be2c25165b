package io.tandem.admission;

/** The {@link SizeLimit} of one service class, moved by what becomes of its requests. Not thread-safe. */
public final class SizeGuard {
    /** A request has room to spare when it is predicted to need no more than these shares of its targets, */
    private static final double TTFT_SPARE = 0.5;

    /** or, if its prompt alone takes longer, to wait no more than this share of what the prompt leaves of the target. */
    private static final double SLACK_SPARE = 0.1;

    private static final double ITL_SPARE = 0.9;

    private final double ttftTargetNanos;
    private final double itlTargetNanos;
    private final double rejectAbove;
    private final SizeLimit limit;

    /**
     * @param ttftTargetNanos of the class
     * @param itlTargetNanos of the class
     * @param rejectAbove share of the TTFT target above which a prediction refuses
     */
    public SizeGuard(SizeLimit.Settings settings, double ttftTargetNanos, double itlTargetNanos, double rejectAbove) {
        this.ttftTargetNanos = ttftTargetNanos;
        this.itlTargetNanos = itlTargetNanos;
        this.rejectAbove = rejectAbove;
        limit = new SizeLimit(settings.fall(), settings.risePerSecond(), settings.maxShare() * ttftTargetNanos);
    }

    /**
     * Whether a request is to be refused for its size, whatever else is predicted.
     *
     * @param workNanos GPU time of its prompt
     * @param decodeNanos GPU time of its output
     * @param ttftNanos predicted
     * @param itlNanos predicted
     */
    public boolean refuses(double workNanos, double decodeNanos, double ttftNanos, double itlNanos, long nowNanos) {
        if (limit.admits(workNanos + decodeNanos, nowNanos)) {
            return false;
        }
        double spare = Math.max(TTFT_SPARE * ttftTargetNanos, workNanos + SLACK_SPARE * (ttftTargetNanos - workNanos));
        if (ttftNanos <= spare && itlNanos <= ITL_SPARE * itlTargetNanos) {
            limit.roomToSpare(nowNanos);
        }
        return true;
    }

    /** A request was small enough and is refused all the same, since it would miss its targets. */
    public void missed(double workNanos, long nowNanos) {
        if (workNanos <= rejectAbove * ttftTargetNanos) {
            limit.noRoom(nowNanos);
        }
    }

    /** When a request of this GPU time will be let in, if none is refused for want of room until then. */
    public double untilAdmittedNanos(double gpuNanos) {
        return limit.untilAdmittedNanos(gpuNanos);
    }
}
