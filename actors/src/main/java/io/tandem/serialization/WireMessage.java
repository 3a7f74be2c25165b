package io.tandem.serialization;

/** Marks a message that may leave its JVM: it has a number in {@link WireTypes} and a round-trip test. */
public interface WireMessage {}
