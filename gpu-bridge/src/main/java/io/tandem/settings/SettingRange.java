package io.tandem.settings;

/** What all settings say of a number outside its range. */
public final class SettingRange {
    private SettingRange() {}

    /**
     * Checks one.
     *
     * @param key the whole key, "tandem.engine.max-sequences"
     * @throws IllegalArgumentException naming key and range when the value is outside
     */
    public static void check(String key, long value, long min, long max) {
        if (value < min || value > max) {
            throw new IllegalArgumentException(key + " must be " + min + " to " + max + ", not " + value);
        }
    }
}
