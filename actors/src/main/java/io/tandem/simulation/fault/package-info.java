/**
 * Faults under virtual time: the production state machines of a whole cluster in one thread, with messages lost, delayed,
 * doubled and out of order, with nodes that die, hang and come back, and with invariants checked after every event.
 */
package io.tandem.simulation.fault;
