/** What all routes share: JSON in and out, the OpenAI error body, responses. Knows no route. */
package io.tandem.http.wire;
