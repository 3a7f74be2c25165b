package io.tandem.admission;

import com.typesafe.config.Config;
import com.typesafe.config.ConfigFactory;
import java.util.concurrent.TimeUnit;

/** Settings and requests for tests of this package. */
final class Classes {
    static final long SECOND = TimeUnit.SECONDS.toNanos(1);
    static final long MILLI = TimeUnit.MILLISECONDS.toNanos(1);

    private Classes() {}

    /** "default" 2 s and 50 ms, "priority" 500 ms and 25 ms with weight 4, "flex" 60 s and 500 ms, sheddable. */
    static AdmissionSettings settings(String... overrides) {
        Config config = ConfigFactory.parseString("tandem.admission { "
                        + "classes.default { ttft-target = 2s, itl-target = 50ms }\n"
                        + "classes.priority { ttft-target = 500ms, itl-target = 25ms }\n"
                        + "classes.flex { ttft-target = 60s, itl-target = 500ms, weight = 1 }\n"
                        + "serve-when-idle = off\nreject-above = 1\nreject-itl-above = 1\n"
                        + "dispatch-ahead = 100ms }\n")
                .withFallback(ConfigFactory.defaultReference());
        for (String override : overrides) {
            config = ConfigFactory.parseString("tandem.admission." + override).withFallback(config);
        }
        return AdmissionSettings.from(config.resolve());
    }

    static Applicant applicant(
            AdmissionSettings settings, long id, String tenant, String tier, int promptTokens, long nowNanos) {
        return applicant(settings, id, tenant, tier, promptTokens, 10_000, nowNanos);
    }

    static Applicant applicant(
            AdmissionSettings settings,
            long id,
            String tenant,
            String tier,
            int promptTokens,
            int maxNewTokens,
            long nowNanos) {
        return new Applicant(
                id,
                tenant,
                settings.serviceClass(tier).orElseThrow(),
                promptTokens,
                maxNewTokens,
                nowNanos,
                TimeUnit.MINUTES.toNanos(10));
    }
}
