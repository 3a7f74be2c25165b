package io.tandem.admission;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class AdmissionSettingsTest {

    @Test
    void shouldReadClassesDearestFirstAndTenantsByName() {
        AdmissionSettings settings = Classes.settings(
                "classes.gold = { ttft-target = 1s, itl-target = 20ms, weight = 8, price = 5, sheddable = off,"
                        + " queue-max-requests = 9 }",
                "tenants { \"key-1f3a52c9\" { weight = 4 }, \"a.b@c\" { weight = 2 } }");
        assertEquals(
                List.of("gold", "priority", "default", "flex"),
                settings.classes().stream().map(ServiceClass::name).toList());
        ServiceClass gold = settings.serviceClass("gold").orElseThrow();
        assertEquals(new ServiceClass("gold", Classes.SECOND, 20 * Classes.MILLI, 8, 5, false, 9), gold);
        assertEquals(4, settings.weight("key-1f3a52c9"));
        assertEquals(2, settings.weight("a.b@c"));
        assertEquals(1, settings.weight("anybody"));
    }

    @Test
    void shouldTakeAutoDefaultAndNothingForTheDefaultClass() {
        AdmissionSettings settings =
                Classes.settings("default-class = priority", "classes.default = null", "classes.flex = null");
        for (String tier : List.of("", "auto", "default")) {
            assertEquals("priority", settings.serviceClass(tier).orElseThrow().name());
        }
        assertTrue(settings.serviceClass("flex").isEmpty());
        assertEquals(List.of("auto", "default", "priority"), settings.tiers());
        assertEquals(
                "default",
                Classes.settings().serviceClass("default").orElseThrow().name());
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '`',
            value = {
                "classes.default.ttft-target = 0s | classes.default.ttft-target",
                "classes.flex.itl-target = 2h | classes.flex.itl-target",
                "classes.gold = { ttft-target = 1s } | classes.gold.itl-target is missing",
                "classes.Gold = { ttft-target = 1s } | 'Gold' is no class name",
                "classes.auto = { ttft-target = 1s } | not 'auto'",
                "default-class = gold | default-class is 'gold'",
                "dispatch-ahead = 0s | dispatch-ahead must be from",
                "tenants { x { weight = 0 } } | tenants.x.weight",
                "tenants { x { } } | tenants.x.weight is missing",
                "queue-max-requests = 0 | queue-max-requests must be from 1.0"
            })
    void shouldNameTheSettingAtFault(String setting, String part) {
        String message = assertThrows(IllegalArgumentException.class, () -> Classes.settings(setting))
                .getMessage();
        assertTrue(message.contains(part.strip()), message);
    }
}
