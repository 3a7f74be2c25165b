/**
 * The step loop of one GPU. {@link io.tandem.engine.Engine#step} is the whole story: schedule, forward, sample, publish.
 * Everything asked of an engine is an {@link io.tandem.engine.EngineCommand}, everything it says goes through an
 * {@link io.tandem.engine.EngineListener}; {@link io.tandem.engine.EngineLoop} puts a thread between the two. A role is a
 * scheduling state: any engine can run any sequence at any time.
 */
package io.tandem.engine;
