/** Moves KV blocks between processes: leases, checksums, agents with threads of their own, Aeron underneath. */
package io.tandem.transfer;
