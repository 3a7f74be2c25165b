package io.tandem.compute.cuda;

import com.typesafe.config.Config;
import io.tandem.engine.Engine;
import io.tandem.engine.EngineCommand;
import io.tandem.engine.EngineListener;
import io.tandem.engine.EngineRole;
import io.tandem.engine.EngineSettings;
import io.tandem.engine.FinishReason;
import io.tandem.engine.SequenceSpec;
import io.tandem.engine.SequenceStats;
import io.tandem.engine.StepTokens;
import io.tandem.sampling.SamplingParams;
import java.util.Arrays;
import java.util.SplittableRandom;

/** Requests that arrive at random, at a mean rate, at one engine: from arrival to first token, and from token to token. */
final class PoissonRun implements AutoCloseable, EngineListener {
    private static final int[] NO_STOPS = {};

    private final Engine engine;
    private final int vocabSize;
    private final int promptTokens;
    private final int newTokens;
    private final long[] arrivals;
    private final long[] firsts;
    private final long[] lasts;
    private int finished;

    PoissonRun(CudaBackend backend, Config config, int requests, double perSecond, int promptTokens, int newTokens) {
        this.promptTokens = promptTokens;
        this.newTokens = newTokens;
        vocabSize = backend.model().vocabSize();
        engine = new Engine(backend, "random", EngineSettings.from(config), EngineRole.MIXED, this);
        arrivals = new long[requests];
        firsts = new long[requests];
        lasts = new long[requests];
        SplittableRandom random = new SplittableRandom(20);
        double at = 0;
        for (int i = 0; i < requests; i++) {
            at += -Math.log(1 - random.nextDouble()) / perSecond;
            arrivals[i] = (long) (at * 1e9);
        }
    }

    /** Runs until every request has ended. */
    void run() {
        long start = System.nanoTime();
        for (int i = 0; i < arrivals.length; i++) {
            arrivals[i] += start;
        }
        int next = 0;
        while (finished < arrivals.length) {
            long now = System.nanoTime();
            while (next < arrivals.length && arrivals[next] - now <= 0) {
                engine.apply(new EngineCommand.Generate(next, spec(next)), now);
                next++;
            }
            if (!engine.hasWork()) {
                Thread.onSpinWait();
            } else {
                engine.step(now);
            }
        }
    }

    private SequenceSpec spec(int key) {
        int[] prompt = new int[promptTokens];
        for (int i = 0; i < promptTokens; i++) {
            prompt[i] = (int) ((key * 7919L + i * 104_729L) % vocabSize);
        }
        return new SequenceSpec(prompt, promptTokens, newTokens, SamplingParams.greedy(), NO_STOPS, 0, Long.MAX_VALUE);
    }

    /** Milliseconds from arrival to the first token, sorted. */
    double[] firstTokenMillis() {
        double[] millis = new double[arrivals.length];
        Arrays.setAll(millis, i -> (firsts[i] - arrivals[i]) / 1e6);
        Arrays.sort(millis);
        return millis;
    }

    /** Milliseconds a token after the first, by request, sorted. */
    double[] tokenMillis() {
        double[] millis = new double[arrivals.length];
        Arrays.setAll(millis, i -> (lasts[i] - firsts[i]) / 1e6 / (newTokens - 1));
        Arrays.sort(millis);
        return millis;
    }

    @Override
    public void onStep(StepTokens step) {
        long now = System.nanoTime();
        for (int i = 0; i < step.count; i++) {
            int request = (int) step.keys[i];
            firsts[request] = step.outputIndex[i] == 0 ? now : firsts[request];
            lasts[request] = now;
        }
    }

    @Override
    public void onFinished(long key, FinishReason reason, SequenceStats stats, String detail) {
        if (reason != FinishReason.LENGTH) {
            throw new IllegalStateException(reason + " " + detail);
        }
        finished++;
    }

    @Override
    public void onRefused(long key, RefusalReason reason, String detail) {
        throw new IllegalStateException(reason + " " + detail);
    }

    @Override
    public void close() {
        engine.close();
    }
}
