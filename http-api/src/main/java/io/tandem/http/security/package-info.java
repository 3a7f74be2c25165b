/** Who may call what, and on which address the server may listen. */
package io.tandem.http.security;
