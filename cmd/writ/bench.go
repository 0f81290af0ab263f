//go:build bench

package main

import (
	"errors"
	"net/http"
	"net/http/pprof"
	"strings"

	"github.com/writ-authz/writ/identity"
	"github.com/writ-authz/writ/policies/enforce"
)

// withBench puts /bench/ beside the public listener: the floors that the budgets are ratios of, meters, profiles and seeding. It
// has neither authentication nor decisions and is therefore refused off loopback. The floors stand outside the frame, since
// request ids, headers, counters and the request log are Writ's own work, which the budgets are about.
func (n *node) withBench(public http.Handler) (http.Handler, error) {
	if !loopback(n.config.Listen) || !loopback(n.config.AdminListen) {
		return nil, errors.New("this is the bench build, whose /bench/ is open to everyone: it listens on loopback addresses only")
	}
	rows, err := floors()
	if err != nil {
		return nil, err
	}
	rows = append(rows,
		enforce.OpenRoute{Method: http.MethodGet, Path: "/bench/usage", Handler: usageNow},
		enforce.OpenRoute{Method: http.MethodPost, Path: "/bench/collect", Handler: collectNow},
		enforce.OpenRoute{Method: http.MethodPost, Path: "/bench/records", Handler: n.seedRecords},
		enforce.OpenRoute{Method: http.MethodGet, Path: "/bench/profile/cpu", Handler: pprof.Profile},
		enforce.OpenRoute{Method: http.MethodGet, Path: "/bench/profile/heap", Handler: pprof.Handler("heap").ServeHTTP},
	)
	bench, err := enforce.Mount(enforce.Config{
		PDP: n.counted(), Log: n.decisions, Now: n.now, Open: rows,
		Fallback: enforce.Plane{WriteError: identity.WriteProblem, WriteDenial: identity.WriteDenial},
	})
	if err != nil {
		return nil, err
	}
	n.logger.Warn("bench build: everyone on this machine can write records and read profiles; never use it to serve")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/bench/") {
			bench.ServeHTTP(w, r)
			return
		}
		public.ServeHTTP(w, r)
	}), nil
}
