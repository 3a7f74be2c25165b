package io.tandem.simulation;

/** Where requests run: the seam between the simulated cluster and a policy. Workers are numbers below the layout's size. */
public interface Placement {
    /** A prefill worker and, if it is another, the decode worker. */
    record Plan(int prefillWorker, int decodeWorker) {
        /** The decode worker is chosen when the prompt is computed. */
        public static final int LATER = -1;

        /** The request is refused before any work. */
        public static final Plan REJECTED = new Plan(-2, -2);

        /** The request waits at the policy's door until {@link Placement#release}. */
        public static final Plan HELD = new Plan(-3, -3);

        public static Plan whole(int worker) {
            return new Plan(worker, worker);
        }

        boolean split() {
            return prefillWorker != decodeWorker;
        }
    }

    /** A request arrives. */
    Plan place(Arrival arrival);

    /** When the door wants to be asked; {@link Long#MAX_VALUE} = nobody waits there. */
    default long nextReleaseNanos() {
        return Long.MAX_VALUE;
    }

    /** Lets go what waits at the door and may go now, or is refused. */
    default void release(Door door, long nowNanos) {}

    /** What a door needs of the cluster. */
    interface Door {
        /** What may be known of a waiting request now. */
        Arrival arrival(int request);

        /** It goes on by this plan, or is {@link Plan#REJECTED}. */
        void release(int request, Plan plan);
    }

    /** A split request whose plan says {@link Plan#LATER} needs its decode worker. */
    default int decodeWorker(Arrival arrival) {
        throw new IllegalStateException("this policy names the decode worker at once");
    }

    /** The prompt's last chunk is computed on {@code worker}. */
    default void prefillEnded(int request, int worker, long nowNanos) {}

    /** The request is over. */
    default void finished(int request, int worker, long nowNanos) {}

    /** A worker ends a pass; before the events of its sequences. */
    default void passEnded(int worker, PassShape pass, long durationNanos, long nowNanos) {}

    /**
     * What a policy may know of a request: its prompt and who holds how much of it. Output length is not in here on purpose.
     *
     * @param request its number in the trace
     * @param blocks whole blocks of the prompt
     * @param depths leading blocks held, a worker each; reused by the caller
     */
    record Arrival(int request, int inputTokens, int blocks, int[] nodes, int[] depths, long nowNanos) {}
}
