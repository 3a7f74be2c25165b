/** How the death of a process is seen at once: by its kernel, which closes its connections and refuses new ones. */
package io.tandem.lifeline;
