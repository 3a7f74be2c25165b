/** One sharded actor a GPU: it feeds the engine and moves KV blocks, and never blocks. */
package io.tandem.worker;
