/**
 * The speed of the prefix index and of its hashes, measured on a request trace by a method that other routers have been
 * measured by: see docs/benchmarks/prefix-index.md. Nothing here runs in production.
 */
package io.tandem.routing.benchmark;
