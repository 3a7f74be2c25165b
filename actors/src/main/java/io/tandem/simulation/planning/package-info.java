/** Capacity planning: step times of models on GPUs from a roofline fitted to measured runs, and layouts compared by them. */
package io.tandem.simulation.planning;
