/** What records of settings share. */
package io.tandem.settings;
