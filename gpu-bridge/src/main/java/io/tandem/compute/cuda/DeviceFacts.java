package io.tandem.compute.cuda;

/**
 * What is known of a device before anything runs on it.
 *
 * @param ordinal its number on this host
 * @param name as the driver calls it
 * @param capability compute capability, major times ten plus minor: 90 on an H100
 * @param multiprocessors how many
 * @param totalBytes its memory
 * @param maxSharedBytes shared memory a block may ask for
 * @param driverVersion CUDA version of the driver, major times 1000 plus minor times ten
 */
record DeviceFacts(
        int ordinal,
        String name,
        int capability,
        int multiprocessors,
        long totalBytes,
        int maxSharedBytes,
        int driverVersion) {

    @Override
    public String toString() {
        return name + " " + ordinal + ", capability " + capability / 10 + "." + capability % 10 + ", "
                + totalBytes / (1 << 20) + " MiB, driver for CUDA " + driverVersion / 1000 + "."
                + driverVersion % 1000 / 10;
    }
}
