//go:build !bench

package enforce_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
)

func TestOnlyTheBenchBuildMayOpenRoutesForBenchmarks(t *testing.T) {
	open := func(path string) error {
		_, err := enforce.Mount(enforce.Config{
			PDP: &fakePDP{catalogue: shipped(t)}, Log: policies.NewLog(policies.LogConfig{Writer: io.Discard, Now: now}), Now: now,
			Fallback: plane("fallback"),
			Open: []enforce.OpenRoute{{
				Method: http.MethodGet, Path: path, Handler: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
			}},
		})
		return err
	}
	if err := open("/bench/floor"); err == nil {
		t.Error("/bench/floor was mounted")
	}
	if err := open("/livez"); err != nil {
		t.Errorf("a listed path was refused: %v", err)
	}
}
