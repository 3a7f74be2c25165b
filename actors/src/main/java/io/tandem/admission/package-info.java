/** Accepts, queues or rejects a request by predicted time, before any GPU works for it. */
package io.tandem.admission;
