/** What a node is: its settings from profile, file and options, and its run from start to end. */
package io.tandem.node;
