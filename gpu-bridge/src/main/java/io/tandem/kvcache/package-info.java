/**
 * The KV cache: blocks of {@link io.tandem.kvcache.KvLayout} in the memory of a backend, owned by reference counts in a
 * {@link io.tandem.kvcache.BlockPool}, found again by the chained content hash of {@link io.tandem.kvcache.BlockHash}.
 * A block is shared only when it is whole; nobody writes to a whole block, so sharing needs no copy.
 */
package io.tandem.kvcache;
