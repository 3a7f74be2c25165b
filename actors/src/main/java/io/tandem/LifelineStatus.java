package io.tandem;

/**
 * The lifelines of one node. Counts since its start.
 *
 * @param watched processes to be watched
 * @param open lifelines that stand
 * @param deaths processes found dead
 * @param falseAlarms those of them that were not
 */
public record LifelineStatus(int watched, int open, long deaths, long falseAlarms) {
    /** Of a node that has none. */
    public static final LifelineStatus NONE = new LifelineStatus(0, 0, 0, 0);
}
