/** One actor a request: it owns the request from acceptance to its one terminal state. */
package io.tandem.request;
