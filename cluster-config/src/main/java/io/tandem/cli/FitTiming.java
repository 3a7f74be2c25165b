package io.tandem.cli;

import io.tandem.simulation.planning.SiliconSamples;
import io.tandem.simulation.planning.TimingReport;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** Fits the timing model to measured runs and says how well it predicts runs it has not seen. */
@Command(
        name = "fit-timing",
        mixinStandardHelpOptions = true,
        description = "Fit the timing model to measured serving runs; prints its errors by cross-validation.")
final class FitTiming implements Callable<Integer> {
    @Option(names = "--samples", required = true, description = "CSV of measured runs (aiconfigurator's columns)")
    Path samples;

    @Override
    public Integer call() throws Exception {
        if (!Files.isRegularFile(samples)) {
            throw new IllegalArgumentException("--samples: there is no file " + samples);
        }
        SiliconSamples runs = SiliconSamples.read(samples);
        System.err.println("Leaving out each run, pair and model in turn: some minutes of computing ...");
        System.out.print(TimingReport.of(runs));
        return 0;
    }
}
