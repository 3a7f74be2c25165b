package io.tandem;

import com.typesafe.config.Config;
import io.tandem.kvcache.BlockHashKey;
import io.tandem.routing.BlockFeed;
import io.tandem.routing.BlockFeedActor;
import io.tandem.routing.BlockFeedMessage;
import io.tandem.routing.PrefixIndex;
import io.tandem.routing.PromptKeys;
import io.tandem.routing.RoutingSettings;
import io.tandem.routing.RoutingSettings.Listening;
import io.tandem.routing.WorkerDirectory;
import java.util.Collection;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.pekko.actor.typed.ActorRef;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** What this node knows of the workers' prefix caches: when it begins to listen, and whether it has heard enough to serve. */
final class CacheKnowledge {
    private static final Logger LOG = LoggerFactory.getLogger(CacheKnowledge.class);

    private final RoutingSettings.Index settings;
    private final WorkerDirectory directory;
    private final BlockFeed feed;
    private final BlockHashKey hashKey;
    private final boolean fromStart;
    private final AtomicBoolean listening;
    private volatile ActorRef<BlockFeedMessage> actor;

    /** Since when there are workers; 0 = not yet. Only readiness reads it, and it does not matter who writes it first. */
    private volatile long workersSinceNanos;

    private volatile boolean heardAll;

    CacheKnowledge(Config config, WorkerDirectory directory) {
        this.directory = directory;
        settings = RoutingSettings.from(config).index();
        hashKey = BlockHashKey.from(config);
        NodeSettings node = NodeSettings.from(config);
        feed = new BlockFeed(
                new PrefixIndex(settings.maxWorkers(), settings.maxBlocks()),
                settings.retry().toNanos());
        fromStart = settings.listening() == Listening.ON || settings.listening() == Listening.AUTO && node.serves();
        listening = new AtomicBoolean(fromStart);
    }

    BlockFeed feed() {
        return feed;
    }

    RoutingSettings.Index settings() {
        return settings;
    }

    /** Whether it began to, at the start or with the first request. */
    boolean listens() {
        return listening.get();
    }

    void attach(ActorRef<BlockFeedMessage> blocks) {
        actor = blocks;
    }

    /** The names of a prompt's blocks; begins to listen if this is the first request. */
    PromptKeys keys(String modelFingerprint, long cacheSalt, int[] tokens) {
        if (settings.listening() == Listening.OFF) {
            return PromptKeys.NONE;
        }
        if (!listening.get() && listening.compareAndSet(false, true)) {
            actor.tell(new BlockFeedActor.Begin());
        }
        for (WorkerDirectory.Entry entry : directory.entries()) {
            if (entry.live() && entry.report().modelFingerprint().equals(modelFingerprint)) {
                return PromptKeys.of(
                        hashKey, modelFingerprint, entry.report().facts().blockTokens(), cacheSalt, tokens);
            }
        }
        return PromptKeys.NONE;
    }

    /**
     * What is missing before this node serves for the first time; empty when nothing is.
     *
     * @param gpus of all members; one that does not report in a while is not waited for
     */
    String missing(Collection<String> gpus, long nowNanos) {
        if (heardAll || !fromStart) {
            return "";
        }
        Set<String> absent = new TreeSet<>(gpus);
        Set<String> silent = new TreeSet<>();
        for (WorkerDirectory.Entry entry : directory.entries()) {
            if (entry.live()) {
                String gpu = entry.report().gpuId();
                absent.remove(gpu);
                if (workersSinceNanos == 0) {
                    workersSinceNanos = nowNanos;
                }
                if (!feed.isLoaded(gpu, entry.report().epoch())) {
                    silent.add(gpu);
                }
            }
        }
        if (workersSinceNanos == 0) {
            return ""; // Nobody serves yet, which is said elsewhere.
        }
        long waited = nowNanos - workersSinceNanos;
        boolean patientWithAbsent = waited < settings.reportWait().toNanos();
        boolean patientWithSilent = waited < settings.readyWait().toNanos();
        if (!silent.isEmpty() && patientWithSilent) {
            return "what worker " + String.join(", ", silent) + " has cached is not known yet";
        }
        if (!absent.isEmpty() && patientWithAbsent) {
            return "worker " + String.join(", ", absent) + " has not reported yet";
        }
        if (!silent.isEmpty()) {
            LOG.warn("ready without knowing what {} has cached: it does not say", silent);
        }
        heardAll = true;
        return "";
    }
}
