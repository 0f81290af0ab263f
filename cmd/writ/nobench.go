//go:build !bench

package main

import "net/http"

// withBench adds nothing: the floors and meters of `make bench` exist only in the bench build (-tags bench).
func (*node) withBench(public http.Handler) (http.Handler, error) { return public, nil }
