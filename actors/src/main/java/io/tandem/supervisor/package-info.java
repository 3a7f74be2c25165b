/** The cluster's singleton that changes roles while requests run. */
package io.tandem.supervisor;
