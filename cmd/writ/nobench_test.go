//go:build !bench

package main_test

import (
	"net/http"
	"testing"
)

func TestTheShippedBuildHasNothingForBenchmarks(t *testing.T) {
	p := start(t, rootEnv(), serveArgs(t)...)
	for _, address := range []string{p.public, p.admin} {
		for _, row := range []struct{ method, path string }{
			{http.MethodPost, "/bench/floor"},
			{http.MethodPost, "/bench/records"},
			{http.MethodPost, "/bench/collect"},
			{http.MethodGet, "/bench/usage"},
			{http.MethodGet, "/bench/profile/cpu"},
			{http.MethodGet, "/debug/pprof/"},
		} {
			if code, body := status(t, row.method, "http://"+address+row.path); code != http.StatusNotFound {
				t.Errorf("%s %s: got %d %s", row.method, row.path, code, body)
			}
		}
	}
}
