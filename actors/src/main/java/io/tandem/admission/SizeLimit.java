package io.tandem.admission;

/**
 * Under overload the largest requests are refused first, so that as many as possible are served in time. The limit is a request's
 * GPU time; it falls a little whenever a request that could have met its targets on an idle cluster misses them for want of
 * room; it rises slowly while that does not happen, and at once when it keeps out what would have had room to spare. So it settles where what is let in just fits, and without overload it is
 * far above every request. It moves at most once a pause each way, since
 * what it keeps out shows only when what was let in is done.
 *
 * <p>Plain state, time as an argument. Not thread-safe.
 */
public final class SizeLimit {
    /**
     * {@code tandem.admission.size-limit}; see reference.conf for reasons.
     *
     * @param fall the limit's factor when there is no room, in (0, 1]; 1 = there is no limit
     * @param risePerSecond its growth while none is refused for want of room, above 0
     * @param maxShare GPU time that is never too much, as a share of the TTFT target
     */
    public record Settings(double fall, double risePerSecond, double maxShare) {}

    private static final long CHANGE_PAUSE_NANOS = 250_000_000L;
    private static final double LIMIT_MIN_SHARE = 0.02;

    private final double fall;
    private final double risePerNano;
    private final double limitMaxNanos;
    private double limitNanos;
    private long updatedNanos;
    private long fallenNanos = Long.MIN_VALUE / 2;
    private long risenNanos = Long.MIN_VALUE / 2;

    /**
     * @param fall the limit's factor when there is no room, in (0, 1]; 1 = there is no limit
     * @param risePerSecond its growth while none is refused for want of room, above 0
     * @param limitMaxNanos GPU time that is never too much
     */
    public SizeLimit(double fall, double risePerSecond, double limitMaxNanos) {
        if (!(fall > 0 && fall <= 1) || !(risePerSecond > 0) || !(limitMaxNanos > 0)) {
            throw new IllegalArgumentException("fall must be in (0, 1], rise and the largest limit above 0, not " + fall
                    + ", " + risePerSecond + ", " + limitMaxNanos);
        }
        this.fall = fall;
        this.risePerNano = risePerSecond / 1e9;
        this.limitMaxNanos = limitMaxNanos;
        limitNanos = limitMaxNanos;
    }

    /** Whether a request of this GPU time is small enough now. */
    public boolean admits(double gpuNanos, long nowNanos) {
        if (nowNanos > updatedNanos) {
            limitNanos =
                    Math.min(limitMaxNanos, limitNanos * Math.exp(risePerNano * (double) (nowNanos - updatedNanos)));
            updatedNanos = nowNanos;
        }
        return limitNanos >= limitMaxNanos || gpuNanos <= limitNanos;
    }

    /** A request that {@link #admits} let through found no room within its targets, though it would on an idle cluster. */
    public void noRoom(long nowNanos) {
        if (nowNanos - fallenNanos >= CHANGE_PAUSE_NANOS) {
            limitNanos = Math.max(limitMaxNanos * LIMIT_MIN_SHARE, limitNanos * fall);
            fallenNanos = nowNanos;
        }
    }

    /** A request that {@link #admits} kept out would have met its targets with room to spare. */
    public void roomToSpare(long nowNanos) {
        if (nowNanos - risenNanos >= CHANGE_PAUSE_NANOS) {
            limitNanos = Math.min(limitMaxNanos, limitNanos / fall);
            risenNanos = nowNanos;
        }
    }

    /** Until the limit has risen to this GPU time by itself. */
    public double untilAdmittedNanos(double gpuNanos) {
        return gpuNanos <= limitNanos ? 0 : Math.log(Math.min(gpuNanos, limitMaxNanos) / limitNanos) / risePerNano;
    }

    /** GPU time that a request may take now. */
    public double limitNanos() {
        return limitNanos;
    }
}
