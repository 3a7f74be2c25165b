package io.tandem.http.admin;

import io.tandem.AdmissionStatus;
import io.tandem.http.wire.JsonWriter;

/** The door's state as JSON in snake case. */
final class AdmissionJson {

    private AdmissionJson() {}

    static JsonWriter write(JsonWriter out, AdmissionStatus status) {
        out.beginObject();
        out.name("enabled").value(status.enabled());
        out.name("default_class").value(status.defaultClass());
        out.name("classes").beginArray();
        for (AdmissionStatus.ServiceTier c : status.classes()) {
            out.beginObject().name("name").value(c.name());
            out.name("ttft_target_ms").value(c.ttftTargetMs());
            out.name("itl_target_ms").value(c.itlTargetMs());
            out.name("weight").value(c.weight());
            out.name("price").value(c.price());
            out.name("sheddable").value(c.sheddable());
            out.name("queued").value(c.queued());
            out.name("running").value(c.running()).endObject();
        }
        out.endArray().name("tenants").beginArray();
        for (AdmissionStatus.Tenant t : status.tenants()) {
            out.beginObject().name("name").value(t.name());
            out.name("weight").value(t.weight());
            out.name("queued").value(t.queued());
            out.name("running").value(t.running()).endObject();
        }
        out.endArray().name("outcomes").beginArray();
        for (AdmissionStatus.Outcome o : status.outcomes()) {
            out.beginObject().name("service_class").value(o.serviceClass());
            out.name("tenant").value(o.tenant());
            out.name("outcome").value(o.outcome());
            out.name("count").value(o.count()).endObject();
        }
        return out.endArray().endObject();
    }
}
