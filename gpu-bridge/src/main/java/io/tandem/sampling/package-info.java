/**
 * From logits to a token: a pure function of the logits, the tokens so far, the parameters and the output position. No
 * generator state exists, so a request that moves to another worker draws there what it would have drawn here.
 */
package io.tandem.sampling;
