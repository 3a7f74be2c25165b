package io.tandem.compute;

/** A device failed in a way that no further pass on it can succeed: its engine ends, its sequences go on elsewhere. */
public final class DeviceLostException extends RuntimeException {
    public DeviceLostException(String message, Throwable cause) {
        super(message, cause);
    }
}
