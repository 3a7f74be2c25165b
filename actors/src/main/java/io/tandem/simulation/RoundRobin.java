package io.tandem.simulation;

/** Every worker in turn; with prefill workers, both pools in turn, the decode worker once the prompt is computed. */
public final class RoundRobin implements Placement {
    private final int prefillWorkers;
    private final int workers;
    private int nextWhole;
    private int nextDecode;

    /** @param prefillWorkers workers below this number only prefill, the others only decode; 0 = all do both */
    public RoundRobin(int workers, int prefillWorkers) {
        this.workers = workers;
        this.prefillWorkers = prefillWorkers;
    }

    @Override
    public Plan place(Arrival arrival) {
        int turn = nextWhole++;
        return prefillWorkers == 0 ? Plan.whole(turn % workers) : new Plan(turn % prefillWorkers, Plan.LATER);
    }

    @Override
    public int decodeWorker(Arrival arrival) {
        return prefillWorkers + nextDecode++ % (workers - prefillWorkers);
    }
}
