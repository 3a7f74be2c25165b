/** How control messages cross JVMs: Kryo with fixed numbers. */
package io.tandem.serialization;
