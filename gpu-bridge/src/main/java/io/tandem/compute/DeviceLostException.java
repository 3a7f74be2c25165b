package io.tandem.compute;

/** A device, or the thread of its engine, failed for good: the engine ends, its sequences go on elsewhere. */
public final class DeviceLostException extends RuntimeException {
    public DeviceLostException(String message, Throwable cause) {
        super(message, cause);
    }
}
