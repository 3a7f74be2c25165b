/** Chat templates: an interpreter of the Jinja that models ship. Users' text is data and never interpreted. */
package io.tandem.chat;
