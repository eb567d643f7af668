// Package serve puts models that llama.cpp runs behind HTTP.
package serve
