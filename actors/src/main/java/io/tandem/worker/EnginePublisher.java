package io.tandem.worker;

import io.tandem.engine.EngineListener;
import io.tandem.engine.EngineRole;
import io.tandem.engine.FinishReason;
import io.tandem.engine.SequenceStats;
import io.tandem.engine.StepTokens;
import io.tandem.kvcache.FindableBlocks;
import io.tandem.request.RequestMessage;
import io.tandem.request.RequestTarget;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Consumer;
import org.apache.pekko.actor.typed.ActorRef;

/**
 * Runs on the engine's thread: sends the tokens of a step to the nodes that own the requests, one message a node, and tells
 * the worker's actor what else happened. Never blocks.
 */
public final class EnginePublisher implements EngineListener {
    /** Nodes whose batches are kept for reuse; beyond, those of nodes that are gone are dropped with the others. */
    private static final int KEPT_BATCHES = 256;

    private final String gpuId;
    private final ConcurrentHashMap<Long, Work> works;
    private final Consumer<WorkEvent> actor;
    private final Map<ActorRef<RequestMessage>, Batch> batches = new HashMap<>();
    private final List<Batch> touched = new ArrayList<>();
    private final RoutingSignals signals;

    /** What routers are to learn of the engine; told on its thread. */
    public interface RoutingSignals {
        /** The shape and the time of a step; see {@link EngineListener#onStepTimed}. */
        void stepTimed(int newTokens, long before, int decodes, long contextTokens, long nanos);

        /** The prefix cache changed; the array is the receiver's. */
        void blocksChanged(long[] words);

        void blocksListed(FindableBlocks blocks);
    }

    private static final RoutingSignals NOBODY = new RoutingSignals() {
        @Override
        public void stepTimed(int newTokens, long before, int decodes, long contextTokens, long nanos) {}

        @Override
        public void blocksChanged(long[] words) {}

        @Override
        public void blocksListed(FindableBlocks blocks) {}
    };

    public EnginePublisher(String gpuId, ConcurrentHashMap<Long, Work> works, Consumer<WorkEvent> actor) {
        this(gpuId, works, actor, NOBODY);
    }

    public EnginePublisher(
            String gpuId, ConcurrentHashMap<Long, Work> works, Consumer<WorkEvent> actor, RoutingSignals signals) {
        this.gpuId = gpuId;
        this.works = works;
        this.actor = actor;
        this.signals = signals;
    }

    @Override
    public void onStepTimed(int newTokens, long before, int decodes, long contextTokens, long nanos) {
        signals.stepTimed(newTokens, before, decodes, contextTokens, nanos);
    }

    @Override
    public void onBlockEvents(long[] words, int length) {
        signals.blocksChanged(Arrays.copyOf(words, length));
    }

    @Override
    public void onBlocksListed(FindableBlocks blocks) {
        signals.blocksListed(blocks);
    }

    @Override
    public void onStep(StepTokens step) {
        for (int i = 0; i < step.count; i++) {
            Work work = works.get(step.keys[i]);
            if (work == null) {
                continue;
            }
            Batch batch = batches.computeIfAbsent(work.target.hub(), hub -> new Batch());
            if (batch.count == 0) {
                batch.hub = work.target.hub();
                touched.add(batch);
            }
            batch.add(work.target, step, i, work.wantsLogprobs);
        }
        for (Batch batch : touched) {
            batch.hub.tell(batch.take(gpuId));
        }
        touched.clear();
        if (batches.size() > KEPT_BATCHES) {
            batches.clear();
        }
        for (int i = 0; i < step.count; i++) {
            Work work = works.get(step.keys[i]);
            if (work != null) {
                work.publishedTokens = step.outputIndex[i] + 1;
            }
        }
    }

    @Override
    public void onFinished(long key, FinishReason reason, SequenceStats stats, String detail) {
        Work work = works.get(key);
        if (work != null) {
            RequestTarget t = work.target;
            t.hub()
                    .tell(new RequestMessage.Ended(
                            gpuId, t.requestId(), t.attempt(), reason, stats, detail, work.publishedTokens));
        }
        actor.accept(new WorkEvent.SequenceEnded(key, reason));
    }

    @Override
    public void onPrefillProgress(long key, int firstBlock, int endBlock, int[] blockIds) {
        actor.accept(new WorkEvent.PrefillProgress(key, endBlock, Arrays.copyOf(blockIds, endBlock)));
    }

    @Override
    public void onPrefillUnderWay(long key, int firstBlock, int endBlock, int[] blockIds, long pass) {
        actor.accept(new WorkEvent.PrefillUnderWay(key, endBlock, Arrays.copyOf(blockIds, endBlock), pass));
    }

    @Override
    public void onReserved(long key, int cachedBlocks, int[] blockIds) {
        actor.accept(new WorkEvent.Reserved(key, cachedBlocks, blockIds));
    }

    @Override
    public void onRoleRuns(EngineRole role) {
        actor.accept(new WorkEvent.RoleRuns(role));
    }

    @Override
    public void onExported(long exportKey, int[] blockIds) {
        actor.accept(new WorkEvent.Exported(exportKey, blockIds));
    }

    /** The owner is told on this thread, so that it hears of the pause after the last token. */
    @Override
    public void onPaused(long exportKey, long key, int outputTokens, int[] blockIds) {
        Work work = works.get(key);
        if (work != null) {
            RequestTarget t = work.target;
            t.hub().tell(new RequestMessage.Paused(gpuId, t.requestId(), t.attempt(), work.moveLease, outputTokens));
        }
        actor.accept(new WorkEvent.Paused(exportKey, blockIds));
    }

    @Override
    public void onRefused(long key, RefusalReason reason, String detail) {
        actor.accept(new WorkEvent.EngineRefused(key, reason, detail));
    }

    /** The tokens of one step for one node. */
    private static final class Batch {
        private static final int[][] NO_IDS = {};
        private static final float[][] NO_LOGPROBS = {};
        private static final float[] NONE = {};

        ActorRef<RequestMessage> hub;
        int count;
        private boolean logprobs;
        private long[] requestIds = new long[16];
        private int[] attempts = new int[16];
        private int[] tokens = new int[16];
        private int[] indices = new int[16];
        private float[] chosen = new float[16];
        private int[][] topIds = new int[16][];
        private float[][] topLogprobs = new float[16][];

        void add(RequestTarget target, StepTokens step, int i, boolean wantsLogprobs) {
            if (count == tokens.length) {
                grow(2 * count);
            }
            requestIds[count] = target.requestId();
            attempts[count] = target.attempt();
            tokens[count] = step.tokens[i];
            indices[count] = step.outputIndex[i];
            chosen[count] = step.logprobs[i];
            topIds[count] = wantsLogprobs ? step.topIds[i] : null;
            topLogprobs[count] = wantsLogprobs ? step.topLogprobs[i] : null;
            logprobs |= wantsLogprobs;
            count++;
        }

        /** Bounded by the engine's largest batch. */
        private void grow(int size) {
            requestIds = Arrays.copyOf(requestIds, size);
            attempts = Arrays.copyOf(attempts, size);
            tokens = Arrays.copyOf(tokens, size);
            indices = Arrays.copyOf(indices, size);
            chosen = Arrays.copyOf(chosen, size);
            topIds = Arrays.copyOf(topIds, size);
            topLogprobs = Arrays.copyOf(topLogprobs, size);
        }

        RequestMessage.Tokens take(String gpuId) {
            RequestMessage.Tokens message = new RequestMessage.Tokens(
                    gpuId,
                    Arrays.copyOf(requestIds, count),
                    Arrays.copyOf(attempts, count),
                    Arrays.copyOf(tokens, count),
                    Arrays.copyOf(indices, count),
                    logprobs ? Arrays.copyOf(chosen, count) : NONE,
                    logprobs ? Arrays.copyOf(topIds, count) : NO_IDS,
                    logprobs ? Arrays.copyOf(topLogprobs, count) : NO_LOGPROBS);
            count = 0;
            logprobs = false;
            return message;
        }
    }
}
