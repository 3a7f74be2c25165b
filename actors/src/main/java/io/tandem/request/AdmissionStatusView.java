package io.tandem.request;

import io.tandem.AdmissionStatus;
import io.tandem.admission.AdmissionLedger;
import io.tandem.admission.AdmissionPolicy;
import io.tandem.admission.AdmissionSettings;
import io.tandem.admission.ServiceClass;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;

/** Makes an {@link AdmissionStatus} of a node's door. */
public final class AdmissionStatusView {
    private static final int TENANTS_MAX = 32;

    private final AdmissionSettings settings;
    private final AdmissionPolicy policy;
    private final AdmissionLedger ledger;

    AdmissionStatusView(AdmissionSettings settings, AdmissionPolicy policy, AdmissionLedger ledger) {
        this.settings = settings;
        this.policy = policy;
        this.ledger = ledger;
    }

    /** Before the first request. */
    public static AdmissionStatus initial(AdmissionSettings settings) {
        return new AdmissionStatusView(settings, null, new AdmissionLedger(settings)).now();
    }

    AdmissionStatus now() {
        List<AdmissionStatus.ServiceTier> tiers = new ArrayList<>();
        for (int i = 0; i < settings.classes().size(); i++) {
            tiers.add(tier(settings.classes().get(i), i));
        }
        List<AdmissionStatus.Tenant> tenants = policy == null
                ? List.of()
                : policy.tenants(TENANTS_MAX).stream()
                        .map(t -> new AdmissionStatus.Tenant(t.name(), t.weight(), t.queued(), t.running()))
                        .toList();
        List<AdmissionStatus.Outcome> outcomes = ledger.counts().stream()
                .map(c -> new AdmissionStatus.Outcome(
                        c.serviceClass(), c.tenant(), c.outcome().name().toLowerCase(Locale.ROOT), c.count()))
                .toList();
        return new AdmissionStatus(settings.enabled(), settings.defaultClass(), tiers, tenants, outcomes);
    }

    private AdmissionStatus.ServiceTier tier(ServiceClass c, int index) {
        AdmissionLedger.QueueTimes times = ledger.queueTimes(index);
        return new AdmissionStatus.ServiceTier(
                c.name(),
                c.ttftTargetNanos() / 1e6,
                c.itlTargetNanos() / 1e6,
                c.weight(),
                c.price(),
                c.sheddable(),
                policy == null ? 0 : policy.queued(index),
                policy == null ? 0 : policy.running(index),
                new AdmissionStatus.QueueTimes(
                        AdmissionLedger.QUEUE_SECONDS,
                        Arrays.stream(times.buckets()).boxed().toList(),
                        times.sumSeconds()));
    }
}
