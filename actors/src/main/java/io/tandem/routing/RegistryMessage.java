package io.tandem.routing;

/** What a node's {@link WorkerRegistry} receives: reports of workers, of demand, of the supervisor, and its own events. */
public interface RegistryMessage {}
