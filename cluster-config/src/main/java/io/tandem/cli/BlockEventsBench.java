package io.tandem.cli;

import io.tandem.worker.BlockEventsBenchmark;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** What it costs a router to know the workers' prefix caches. */
@Command(
        name = "block-events",
        mixinStandardHelpOptions = true,
        description = "Block events of many workers at one router: messages, bytes and CPU, without the network.")
final class BlockEventsBench implements Callable<Integer> {
    @Option(names = "--workers", split = ",", defaultValue = "8,32,128", description = "default: ${DEFAULT-VALUE}")
    List<Integer> workers;

    @Option(names = "--repeats", defaultValue = "5", description = "default: ${DEFAULT-VALUE}")
    int repeats;

    @Option(
            names = "--seconds",
            defaultValue = "5",
            description = "of load that are measured (default: ${DEFAULT-VALUE})")
    int seconds;

    @Override
    public Integer call() {
        System.out.println(BlockEventsBenchmark.markdown(workers, repeats, seconds));
        return 0;
    }
}
