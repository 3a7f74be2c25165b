/** The {@code tandem} command. */
package io.tandem.cli;
