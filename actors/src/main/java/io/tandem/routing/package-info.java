/** Which worker runs what: a view of all workers on every node, read without locks, and the policy that chooses. */
package io.tandem.routing;
