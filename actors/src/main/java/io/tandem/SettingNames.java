package io.tandem;

import com.typesafe.config.Config;
import com.typesafe.config.ConfigList;
import com.typesafe.config.ConfigObject;
import com.typesafe.config.ConfigValue;
import java.util.Comparator;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Collectors;

/**
 * Whether settings under {@code tandem} are ones that exist: those in the modules' reference.conf, and the entries of maps and lists
 * whose names are the user's own. A name that nothing reads is a typo, and would leave its default in force without a word.
 */
final class SettingNames {
    private static final String ROOT = "tandem";

    /** What an entry of a map or list of the user's own may have. */
    private static final Map<String, Set<String>> ENTRIES = Map.of(
            "tandem.node.gpus",
            Set.of("id", "role"),
            "tandem.admission.classes",
            Set.of("ttft-target", "itl-target", "weight", "price", "sheddable", "queue-max-requests"),
            "tandem.admission.tenants",
            Set.of("weight"));

    /** Objects of this beginning hold Pekko's settings, by Pekko's names. */
    private static final String PEKKO = "pekko";

    /** What the library says of where these come from. */
    private static final String SYSTEM_PROPERTIES = "system properties";

    /** Properties of the JVM may be other programs' where their section is none of ours, unless it is this close to one. */
    private static final int TYPO_EDITS = 2;

    private static final int LISTED = 8;

    private final Set<String> known = new TreeSet<>();
    private final Set<String> sections = new TreeSet<>();
    private final Map<String, ConfigValue> unknown = new TreeMap<>();

    private SettingNames(ConfigObject reference) {
        sections.addAll(reference.keySet());
        collect(ROOT, reference);
    }

    /**
     * Refuses names that nothing reads.
     *
     * @param resolved all settings in force
     * @param reference what the modules' reference.conf have, and nothing else
     * @throws IllegalArgumentException naming each such key, where it comes from and the known key most like it
     */
    static void check(Config resolved, Config reference) {
        ConfigObject known = reference.getObject(ROOT);
        SettingNames names = new SettingNames(known);
        names.compare(ROOT, resolved.getObject(ROOT), known);
        names.refuse();
    }

    private void collect(String path, ConfigObject reference) {
        reference.forEach((key, value) -> {
            String name = path + '.' + key;
            if (!ENTRIES.containsKey(name) && !key.startsWith(PEKKO) && value instanceof ConfigObject inner) {
                collect(name, inner);
            } else {
                known.add(name);
            }
        });
    }

    private void compare(String path, ConfigObject given, ConfigObject reference) {
        given.forEach((key, value) -> {
            String name = path + '.' + key;
            ConfigValue expected = reference.get(key);
            if (expected == null) {
                add(name, value);
            } else if (ENTRIES.containsKey(name)) {
                entries(name, value);
            } else if (!key.startsWith(PEKKO)
                    && value instanceof ConfigObject inner
                    && expected instanceof ConfigObject of) {
                compare(name, inner, of);
            }
        });
    }

    /** A list made of properties ({@code gpus.0.id}) is an object, too. */
    private void entries(String path, ConfigValue all) {
        if (all instanceof ConfigObject object) {
            object.forEach((name, entry) -> entry(path, path + '.' + name, entry));
        } else if (all instanceof ConfigList list) {
            for (int i = 0; i < list.size(); i++) {
                entry(path, path + '.' + i, list.get(i));
            }
        }
    }

    private void entry(String path, String name, ConfigValue entry) {
        if (entry instanceof ConfigObject object) {
            Set<String> possible = ENTRIES.get(path);
            possible.forEach(key -> known.add(name + '.' + key));
            object.forEach((key, value) -> {
                if (!possible.contains(key)) {
                    add(name + '.' + key, value);
                }
            });
        }
    }

    /** Of a whole section that does not exist its settings are named, since they have the lines. */
    private void add(String name, ConfigValue value) {
        if (value instanceof ConfigObject inner && !inner.isEmpty()) {
            inner.forEach((key, each) -> add(name + '.' + key, each));
        } else if (!isOfOthers(name, value)) {
            unknown.put(name, value);
        }
    }

    private boolean isOfOthers(String name, ConfigValue value) {
        String section = name.substring(ROOT.length() + 1).split("\\.", 2)[0];
        return value.origin().description().equals(SYSTEM_PROPERTIES)
                && sections.stream().noneMatch(s -> edits(s, section) <= TYPO_EDITS);
    }

    private void refuse() {
        if (unknown.isEmpty()) {
            return;
        }
        String lines = unknown.entrySet().stream()
                .limit(LISTED)
                .map(e -> e.getKey() + " in " + e.getValue().origin().description() + "; did you mean "
                        + nearest(e.getKey()) + "?")
                .collect(Collectors.joining("\n  "));
        int more = unknown.size() - LISTED;
        throw new IllegalArgumentException((unknown.size() == 1 ? "unknown setting " : "unknown settings:\n  ")
                + lines
                + (more > 0 ? "\n  and " + more + " more" : ""));
    }

    private String nearest(String name) {
        return known.stream()
                .min(Comparator.comparingInt((String k) -> k.startsWith(name) ? 0 : edits(k, name)))
                .orElse(ROOT);
    }

    /** Letters to put in, take out or replace to make one text of the other. */
    private static int edits(String a, String b) {
        int[] row = new int[b.length() + 1];
        for (int j = 0; j < row.length; j++) {
            row[j] = j;
        }
        for (int i = 1; i <= a.length(); i++) {
            int diagonal = row[0];
            row[0] = i;
            for (int j = 1; j < row.length; j++) {
                int replaced = diagonal + (a.charAt(i - 1) == b.charAt(j - 1) ? 0 : 1);
                diagonal = row[j];
                row[j] = Math.min(replaced, 1 + Math.min(row[j], row[j - 1]));
            }
        }
        return row[b.length()];
    }
}
