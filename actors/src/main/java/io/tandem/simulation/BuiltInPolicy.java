package io.tandem.simulation;

import io.tandem.routing.CostSettings;
import java.time.Duration;
import java.util.Arrays;
import java.util.Optional;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** The policies that can be compared by name: ours and the field's. */
public enum BuiltInPolicy {
    /** Every worker in turn. */
    ROUND_ROBIN("round-robin", "every worker in turn") {
        @Override
        Placement placement(Scenario s, RoleBoard roles) {
            return new RoundRobin(s.layout().workers(), s.layout().prefillWorkers());
        }
    },
    RANDOM("random", "uniform") {
        @Override
        Placement placement(Scenario s, RoleBoard roles) {
            return new LoadPlacement(s.layout(), LoadPlacement.Rule.RANDOM, s.seed());
        }
    },
    LEAST_LOADED("least-loaded", "fewest requests in flight") {
        @Override
        Placement placement(Scenario s, RoleBoard roles) {
            return new LoadPlacement(s.layout(), LoadPlacement.Rule.LEAST_LOADED, s.seed());
        }
    },
    POWER_OF_TWO("power-of-two", "two drawn, the one with fewer requests in flight") {
        @Override
        Placement placement(Scenario s, RoleBoard roles) {
            return new LoadPlacement(s.layout(), LoadPlacement.Rule.POWER_OF_TWO, s.seed());
        }
    },
    DYNAMO("dynamo", "NVIDIA Dynamo's kv router 1.6.1 with its defaults") {
        @Override
        Placement placement(Scenario s, RoleBoard roles) {
            return dynamo(s, 1);
        }
    },
    DYNAMO_SCALE_16("dynamo-16", "the same with prefill_load_scale = 16, its strongest setting on these traces") {
        @Override
        Placement placement(Scenario s, RoleBoard roles) {
            return dynamo(s, 16);
        }
    },
    CACHE_AWARE("smg", "SGLang's cache_aware router with its defaults") {
        @Override
        Placement placement(Scenario s, RoleBoard roles) {
            return new CacheAwarePlacement(s);
        }
    },
    LLM_D("llm-d", "llm-d's default profile: prefix affinity, then uncached tokens in flight") {
        @Override
        Placement placement(Scenario s, RoleBoard roles) {
            return new LlmdPlacement(s);
        }
    },
    MOONCAKE("mooncake", "Mooncake's conductor with early rejection; layouts pd only") {
        @Override
        Placement placement(Scenario s, RoleBoard roles) {
            return new MooncakePlacement(s);
        }

        @Override
        public boolean suits(Layout layout) {
            return layout.split() && !layout.dynamic();
        }
    },
    ARROW("arrow", "Arrow's index flips as in xLLM; layouts dynamic only") {
        @Override
        Placement placement(Scenario s, RoleBoard roles) {
            return new ArrowPlacement(s, roles);
        }

        @Override
        public boolean suits(Layout layout) {
            return layout.dynamic();
        }
    },
    TANDEM("tandem", "ours: predicted time, the largest refused first; roles by the supervisor in dynamic layouts") {
        @Override
        Placement placement(Scenario s, RoleBoard roles) {
            return ours(s, roles, Optional.of(EarlyRejection.bySize(s.slo())));
        }

        @Override
        public boolean suits(Layout layout) {
            return true;
        }
    },
    TANDEM_DOOR("tandem-door", "ours behind the door of a node: requests wait there, and are refused later as well") {
        @Override
        Placement placement(Scenario s, RoleBoard roles) {
            return new AdmissionPlacement(
                    s, ours(s, roles, Optional.empty()), AdmissionPlacement.settings(s.slo(), DISPATCH_AHEAD));
        }
    },
    TANDEM_PREDICTION("tandem-plain", "ours, refusing by predicted time alone, whatever the size") {
        @Override
        Placement placement(Scenario s, RoleBoard roles) {
            return ours(s, roles, Optional.of(EarlyRejection.plain(s.slo())));
        }

        @Override
        public boolean suits(Layout layout) {
            return true;
        }
    },
    TANDEM_ACCEPTING("tandem-accept", "ours without refusing anything") {
        @Override
        Placement placement(Scenario s, RoleBoard roles) {
            return ours(s, roles, Optional.empty());
        }

        @Override
        public boolean suits(Layout layout) {
            return true;
        }
    };

    private static final Duration DISPATCH_AHEAD = Duration.ofMillis(300);

    private final String id;
    private final String description;

    BuiltInPolicy(String id, String description) {
        this.id = id;
        this.description = description;
    }

    /** Its name in the command line and in reports. */
    public String id() {
        return id;
    }

    /** One line for people. */
    public String description() {
        return description;
    }

    /** @throws IllegalArgumentException listing the names */
    public static BuiltInPolicy of(String name) {
        return Arrays.stream(values())
                .filter(p -> p.id.equals(name))
                .findFirst()
                .orElseThrow(() -> new IllegalArgumentException("unknown policy '" + name + "'; known are "
                        + Arrays.stream(values()).map(BuiltInPolicy::id).collect(Collectors.joining(", "))));
    }

    abstract Placement placement(Scenario s, RoleBoard roles);

    /** Whether it can run a layout of this kind. */
    public boolean suits(Layout layout) {
        return !layout.dynamic();
    }

    /** The kinds of layout it can run, for people. */
    String takes() {
        return "it takes "
                + Stream.of(new Layout(2, 0), new Layout(2, 1), new Layout(2, 1, true))
                        .filter(this::suits)
                        .map(l -> l.toString().substring(0, l.toString().indexOf(':')))
                        .collect(Collectors.joining(", "));
    }

    /** Runs the scenario to its end. */
    public SimulationResult run(Scenario s) {
        if (!suits(s.layout())) {
            throw new IllegalArgumentException(
                    "policy " + id + " cannot run layout " + s.layout() + ": try another of agg:N, pd:P:D, dynamic:N");
        }
        RoleBoard roles = new RoleBoard(s.layout());
        Placement placement = placement(s, roles);
        RoleController controller =
                s.layout().dynamic() && placement instanceof CostPlacement ours ? new SupervisedRoles(s, ours) : null;
        return new ClusterSimulation(s.trace(), s.cluster(), s.timer(), placement, roles, controller).run();
    }

    private static Placement dynamo(Scenario s, double scale) {
        var options = DynamoKvPlacement.Options.DEFAULTS.withPrefillLoadScale(scale);
        return new DynamoKvPlacement(s.trace(), s.layout(), s.cluster().blockTokens(), options, s.seed());
    }

    private static CostPlacement ours(Scenario s, RoleBoard roles, Optional<EarlyRejection> rejection) {
        return new CostPlacement(s, roles, CostSettings.DEFAULT.withFirstTokenFromDecode(true), rejection);
    }
}
