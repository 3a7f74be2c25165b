package io.tandem.cluster;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** What strikes a cluster under load, one thing after the other, and what each cost the clients. */
final class Strikes {
    /**
     * One of them.
     *
     * @param name what was done
     * @param running requests in progress then
     * @param refusedBefore refusals counted by then
     */
    private record Strike(String name, long atNanos, int running, int refusedBefore) {}

    private final ForkedCluster cluster;
    private final VerifiedLoad load;
    private final int answersBetween;
    private final List<Strike> done = new ArrayList<>();
    private final List<Long> wholeAgainNanos = new ArrayList<>();

    /** @param answersBetween answers to wait for before the first strike and after each */
    Strikes(ForkedCluster cluster, VerifiedLoad load, int answersBetween) {
        this.cluster = cluster;
        this.load = load;
        this.answersBetween = answersBetween;
    }

    /** Runs one, waits until the cluster is whole again and until some answers came. */
    private void strike(String name, Runnable what) {
        if (done.isEmpty()) {
            load.awaitAnswers(answersBetween);
        }
        Strike strike = new Strike(name, System.nanoTime(), load.running(), load.refusals());
        done.add(strike);
        what.run();
        cluster.awaitWholeByRevival();
        wholeAgainNanos.add(System.nanoTime() - strike.atNanos());
        load.awaitAnswers(answersBetween);
    }

    void kill(String node) {
        strike("SIGKILL " + node, () -> cluster.kill(node));
    }

    /** The API node where the supervisor runs now. */
    void killSupervisor() {
        String node = cluster.supervisorNode();
        strike("SIGKILL the supervisor's node " + node, () -> cluster.kill(node));
    }

    void hang(String node, int millis) {
        strike("SIGSTOP " + node + " for " + millis + " ms", () -> {
            cluster.pause(node);
            Poll.pause(millis);
            cluster.goOn(node);
        });
    }

    void restart(String node) {
        strike("SIGTERM " + node, () -> cluster.stop(node));
    }

    /** Anything else, with the way back from it. */
    void other(String name, Runnable what) {
        strike(name, what);
    }

    int count() {
        return done.size();
    }

    /** Markdown: a row a strike, and one for all. */
    String table() {
        StringBuilder out = new StringBuilder("""
                | strike | in flight | refused, tried again | asked anew | resumed | resume gap ms p50 / p99 / max | recomputed tokens | largest gap of others ms | whole again s |
                |---|---|---|---|---|---|---|---|---|
                """);
        List<VerifiedLoad.Answered> all = load.answered();
        for (int i = 0; i < done.size(); i++) {
            Strike strike = done.get(i);
            boolean last = i + 1 == done.size();
            long end = last ? Long.MAX_VALUE : done.get(i + 1).atNanos();
            int refusals = (last ? load.refusals() : done.get(i + 1).refusedBefore()) - strike.refusedBefore();
            List<VerifiedLoad.Answered> here = all.stream()
                    .filter(a -> a.gapEndNanos() >= strike.atNanos() && a.gapEndNanos() < end)
                    .toList();
            row(out, strike.name(), "" + strike.running(), refusals, here, seconds(wholeAgainNanos.get(i)));
        }
        row(out, "all", "", load.refusals(), all, "");
        return out.toString();
    }

    private static void row(
            StringBuilder out,
            String name,
            String running,
            int refusals,
            List<VerifiedLoad.Answered> answers,
            String whole) {
        List<VerifiedLoad.Answered> resumed =
                answers.stream().filter(a -> a.resumes() > 0).toList();
        Quantiles gaps = Quantiles.of(resumed.stream().mapToLong(VerifiedLoad.Answered::gapNanos));
        Quantiles others =
                Quantiles.of(answers.stream().filter(a -> a.resumes() == 0).mapToLong(VerifiedLoad.Answered::gapNanos));
        out.append(String.format(
                Locale.ROOT,
                "| %s | %s | %d | %d | %d | %s | %d | %.0f | %s |%n",
                name,
                running,
                refusals,
                answers.stream().mapToInt(VerifiedLoad.Answered::broken).sum(),
                resumed.size(),
                gaps,
                resumed.stream()
                        .mapToInt(VerifiedLoad.Answered::recomputedTokens)
                        .sum(),
                others.millis(1),
                whole));
    }

    private static String seconds(long nanos) {
        return String.format(Locale.ROOT, "%.1f", nanos / 1e9);
    }
}
