/** Which sequences run in the next step and which blocks they get: state without clock, thread or model. */
package io.tandem.scheduling;
