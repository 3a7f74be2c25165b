/** The embedding API: a Tandem node or client inside any JVM. */
package io.tandem;
