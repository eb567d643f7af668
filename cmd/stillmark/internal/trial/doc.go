// Package trial ties all rooms together: the experiment of quickstart, in which
// reference models are trained, marked, served, probed and reported on, and the
// reference models that `stillmark mock` serves. Only the command imports it; it
// may import everything.
package trial
