package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// check is one line of the readiness report.
type check struct {
	Name string `json:"name"`
	// Status is "ok", "degraded" (serves, but somebody should look) or "failing" (send no requests).
	Status string `json:"status"`
	Detail string `json:"detail,omitempty"`
}

// report is what /readyz says: 200 unless a check fails.
type report struct {
	Status string `json:"status"` // "ready", "degraded" or "not_ready"
	// Checks are those that are not ok; with ?verbose all of them.
	Checks []check `json:"checks"`
}

const pingLimit = time.Second

// checks says how the node is. An outage of the store degrades it only: the node serves from memory until its view is too old.
func (n *node) checks(ctx context.Context) []check {
	ctx, cancel := context.WithTimeout(ctx, pingLimit)
	defer cancel()
	checks := []check{{Name: "accepting", Status: "ok"}, {Name: "store", Status: "ok"}, {Name: "feed", Status: "ok"}}
	if !n.accepting.Load() {
		checks[0] = check{Name: "accepting", Status: "failing", Detail: "the server is starting or shutting down"}
	}
	if err := n.store.Ping(ctx); err != nil {
		checks[1] = check{Name: "store", Status: "degraded", Detail: err.Error()}
	}
	if age := n.follower.Age(); age > n.config.MaxStaleness {
		checks[2] = check{
			Name: "feed", Status: "failing",
			Detail: fmt.Sprintf("current as of %s ago, the limit is %s", age.Round(time.Millisecond), n.config.MaxStaleness),
		}
	}
	policy := check{Name: "policies", Status: "ok", Detail: "revision " + n.pdp.Status().Revision}
	if why := n.pdp.Status().Degraded; why != "" {
		policy = check{Name: "policies", Status: "degraded", Detail: why}
	}
	checks = append(checks, policy)
	if len(n.config.ExternalIssuers) > 0 {
		issuers := check{Name: "external_issuers", Status: "ok"}
		if down := n.auth.ExternalIssuersDown(ctx); len(down) > 0 {
			issuers.Status, issuers.Detail = "degraded", "metadata or keys could not be fetched of "+strings.Join(down, ", ")
		}
		checks = append(checks, issuers)
	}
	return checks
}

func (n *node) readyz(w http.ResponseWriter, r *http.Request) {
	all := n.checks(r.Context())
	answer := report{Status: "ready", Checks: []check{}}
	status := http.StatusOK
	for _, c := range all {
		switch {
		case c.Status == "failing":
			answer.Status, status = "not_ready", http.StatusServiceUnavailable
		case c.Status == "degraded" && status == http.StatusOK:
			answer.Status = "degraded"
		}
		if c.Status != "ok" || r.URL.Query().Has("verbose") {
			answer.Checks = append(answer.Checks, c)
		}
	}
	if status != http.StatusOK {
		w.Header().Set("Retry-After", "1")
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer) // the prober is gone if this fails
}

func livez(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("ok\n")) // the prober is gone if this fails
}
