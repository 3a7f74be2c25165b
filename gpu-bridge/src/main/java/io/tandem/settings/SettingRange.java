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

    /** The same for a rate or a share, of which there must be some. */
    public static void checkPositive(String key, double value, long max) {
        if (!(value > 0 && value <= max)) {
            throw new IllegalArgumentException(key + " must be above 0 and at most " + max + ", not " + value);
        }
    }
}
