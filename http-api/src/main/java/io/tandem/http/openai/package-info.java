/** The OpenAI routes, their requests and streams, and the server that answers them. */
package io.tandem.http.openai;
