/** Text to token ids and back. */
package io.tandem.tokenizer;
