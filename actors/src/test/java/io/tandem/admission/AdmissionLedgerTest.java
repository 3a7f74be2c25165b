package io.tandem.admission;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import io.tandem.admission.AdmissionLedger.Outcome;
import java.util.Set;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

class AdmissionLedgerTest {

    @Test
    void shouldBoundTheLabelsOfTenantsAndLoseNoCount() {
        AdmissionSettings settings = Classes.settings("tenant-labels-max = 3", "tenants.known.weight = 2");
        AdmissionLedger ledger = new AdmissionLedger(settings);
        for (int i = 0; i < 100; i++) {
            ledger.count(Classes.applicant(settings, i, "t" + i, "default", 1, 0), Outcome.REJECTED_TTFT);
        }
        ledger.count(Classes.applicant(settings, 1, "known", "default", 1, 0), Outcome.REJECTED_TTFT);
        Set<String> labels =
                ledger.counts().stream().map(AdmissionLedger.Count::tenant).collect(Collectors.toSet());
        assertEquals(Set.of("t0", "t1", "t2", "known", AdmissionLedger.OTHERS), labels);
        assertEquals(101, ledger.total(Outcome.REJECTED_TTFT));
        assertEquals(0, ledger.total(Outcome.ADMITTED));
    }

    @Test
    void shouldCountQueueTimesByTheirUpperBounds() {
        AdmissionSettings settings = Classes.settings();
        AdmissionLedger ledger = new AdmissionLedger(settings);
        Applicant applicant = Classes.applicant(settings, 1, "a", "default", 1, 0);
        ledger.admitted(applicant, 0);
        ledger.admitted(applicant, Classes.MILLI);
        ledger.admitted(applicant, Classes.MILLI + 1);
        ledger.admitted(applicant, 1000 * Classes.SECOND);
        var times = ledger.queueTimes(settings.classes().indexOf(applicant.serviceClass()));
        long[] expected = new long[AdmissionLedger.QUEUE_SECONDS.size() + 1];
        expected[0] = 2;
        expected[1] = 1;
        expected[expected.length - 1] = 1;
        assertArrayEquals(expected, times.buckets());
        assertEquals(1000.002, times.sumSeconds(), 1e-6);
    }
}
