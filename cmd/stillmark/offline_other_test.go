//go:build !linux

package main

// playOffline is for Linux alone, where a network of one's own can be had.
func playOffline() {}
