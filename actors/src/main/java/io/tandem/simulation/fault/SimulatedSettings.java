package io.tandem.simulation.fault;

import com.typesafe.config.Config;
import com.typesafe.config.ConfigFactory;
import io.tandem.admission.AdmissionSettings;
import io.tandem.admission.ServiceClass;
import io.tandem.admission.SizeLimit;
import io.tandem.engine.EngineSettings;
import io.tandem.routing.RoutingSettings;
import io.tandem.supervisor.RebalanceSettings;
import java.time.Duration;
import java.util.List;
import java.util.Map;

/** The settings of every node of one seed. */
record SimulatedSettings(
        RoutingSettings routing, AdmissionSettings admission, RebalanceSettings rebalance, EngineSettings engine) {
    private static final Config DEFAULTS = ConfigFactory.defaultReference();
    private static final Duration TTFT_TARGET = Duration.ofSeconds(2);
    private static final Duration ITL_TARGET = Duration.ofMillis(50);

    static SimulatedSettings of(FaultPlan plan) {
        Config config = ConfigFactory.parseMap(Map.of(
                        "tandem.routing.policy",
                        plan.byCost() ? "cost" : "least-loaded",
                        "tandem.routing.split-from-tokens",
                        plan.splitFromTokens(),
                        "tandem.routing.ttft-target",
                        TTFT_TARGET,
                        "tandem.routing.itl-target",
                        ITL_TARGET))
                .withFallback(DEFAULTS);
        return new SimulatedSettings(
                RoutingSettings.from(config),
                admission(plan.door()),
                eager(),
                SimulatedModel.settings(plan.blockTokens(), plan.kvBlocks(), plan.maxSequences(), plan.prefixCache()));
    }

    private static AdmissionSettings admission(FaultPlan.Door door) {
        ServiceClass tight = new ServiceClass(
                "tight", door.ttftMillis() * 1_000_000L, door.itlMicros() * 1_000L, 2, 2, false, door.queue());
        ServiceClass wide = new ServiceClass(
                "wide", Duration.ofMinutes(9).toNanos(), Duration.ofSeconds(10).toNanos(), 1, 1, true, door.queue());
        return new AdmissionSettings(
                door.enabled(),
                List.of(tight, wide),
                wide.name(),
                door.queue(),
                Duration.ofMillis(50).toNanos(),
                door.cold(),
                0.95,
                0.99,
                new SizeLimit.Settings(0.9, 0.02, 1.5),
                door.serveWhenIdle(),
                2,
                30,
                1,
                Map.of(),
                4,
                false,
                Duration.ofMillis(5));
    }

    /** Eager, so that much happens within seconds. */
    private static RebalanceSettings eager() {
        return new RebalanceSettings(
                RebalanceSettings.Mode.ACT,
                Duration.ofMillis(500),
                Duration.ofSeconds(2),
                Duration.ofSeconds(1),
                Duration.ofMillis(500),
                Duration.ofSeconds(3),
                1,
                0.01,
                0.01,
                0.5,
                Duration.ofMillis(200),
                Duration.ofMillis(10));
    }
}
