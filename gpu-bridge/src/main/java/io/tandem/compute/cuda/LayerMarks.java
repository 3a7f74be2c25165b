package io.tandem.compute.cuda;

import io.tandem.compute.cuda.CudaDriver.Event;
import io.tandem.compute.cuda.CudaDriver.Stream;

/** Marks in the stream of passes behind each group of layers, for those passes that may be under way at the same time. */
final class LayerMarks implements AutoCloseable {
    private final CudaDriver driver;
    private final Stream passes;
    private final Event[][] marks;
    private final int layersAGroup;
    private final int layers;
    private volatile long begun;

    /** @param groups at most so many; 1 = no marks are set */
    LayerMarks(CudaDriver driver, Stream passes, int layers, int groups, int passesAtOnce) {
        this.driver = driver;
        this.passes = passes;
        this.layers = layers;
        layersAGroup = (layers + groups - 1) / groups;
        marks = new Event[passesAtOnce][(layers + layersAGroup - 1) / layersAGroup];
        for (Event[] ofPass : marks) {
            for (int g = 0; g < ofPass.length; g++) {
                ofPass[g] = driver.createEvent(false);
            }
        }
    }

    int groups() {
        return marks[0].length;
    }

    int layersAGroup() {
        return layersAGroup;
    }

    /** Number of the latest pass. */
    long begun() {
        return begun;
    }

    void begin() {
        begun++;
    }

    /** Keys and values of a layer are on their way to the blocks; answers whether a mark was set. */
    boolean written(int layer) {
        if (groups() == 1 || (layer + 1) % layersAGroup != 0 && layer + 1 != layers) {
            return false;
        }
        driver.record(marks[(int) (begun % marks.length)][layer / layersAGroup], passes);
        return true;
    }

    /** Lets a stream wait for a group. The mark of a pass that is long over may be a later one's, which comes later still. */
    void await(long pass, int group, Stream stream) {
        driver.waitFor(stream, marks[(int) (pass % marks.length)][group]);
    }

    @Override
    public void close() {
        for (Event[] ofPass : marks) {
            for (Event mark : ofPass) {
                mark.close();
            }
        }
    }
}
