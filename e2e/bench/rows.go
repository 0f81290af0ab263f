//go:build linux

package main

import "time"

// row is one line of the requirements: what was measured and what it may be, both false where the run did not measure it.
type row struct {
	id, what string
	scenario string // whose latencies, throughput and memory stand beside it; empty for none
	floor    string // that it needs; empty for none
	unit     unit
	measured func(*results) (float64, bool)
	budget   func(*results) (float64, bool)
	// rule is the budget in words.
	rule string
}

type unit struct {
	name     string
	decimals int
}

var (
	micros    = unit{"µs CPU", 1}
	millis    = unit{"ms", 2}
	seconds   = unit{"s", 2}
	mebibytes = unit{"MiB", 1}
	megabytes = unit{"MB", 1}
)

// rows are the budgets, in their order.
func rows() []row {
	return []row{
		ratio("PF-01", "client_credentials, JWT ES256", "token-es256", 2.0, "floor-es256"),
		ratio("PF-02", "AuthZEN evaluation, RBAC, permit", "evaluation-permit", 3.0, "floor"),
		ratio("PF-02", "AuthZEN evaluation, RBAC, deny", "evaluation-deny", 3.0, "floor"),
		fixed("PF-03", "start to ready, demo size", seconds, 0.5, single("start, demo")),
		fixed("PF-03", "start to ready, 100,000 users", seconds, 1.5, single("start, 100,000 users")),
		fixed("PF-04", "resident memory at rest, demo size", mebibytes, 80, single("resident, demo")),
		fixed("PF-05", "binary, stripped", megabytes, 60, single("binary")),
		ratio("PI-01", "GET user by id, cached", "user-get", 2.5, "floor"),
		tail("PD-09", "p99 of evaluation at half of capacity", "evaluation-permit", 2*time.Millisecond),
	}
}

// ratio is a budget on CPU time per unit.
func ratio(id, what, scenario string, factor float64, floor string) row {
	return row{
		id: id, what: what, scenario: scenario, floor: floor, unit: micros, rule: number(factor, 1) + " × " + floor,
		measured: func(r *results) (float64, bool) { return r.cpu(scenario) },
		budget: func(r *results) (float64, bool) {
			least, ok := r.cpu(floor)
			return factor * least, ok
		},
	}
}

// fixed is a budget that is no ratio.
func fixed(id, what string, unit unit, budget float64, measured func(*results) (float64, bool)) row {
	return row{
		id: id, what: what, unit: unit, rule: number(budget, 1) + " " + unit.name, measured: measured,
		budget: func(*results) (float64, bool) { return budget, true },
	}
}

// tail is a budget on the open loop's p99.
func tail(id, what, scenario string, budget time.Duration) row {
	r := fixed(id, what, millis, float64(budget)/float64(time.Millisecond), func(r *results) (float64, bool) {
		m := r.find(scenario)
		if m == nil || m.Open == nil {
			return 0, false
		}
		return m.Open.P99 / 1000, true
	})
	r.scenario = scenario
	return r
}

// single is a figure that no load produces.
func single(name string) func(*results) (float64, bool) {
	return func(r *results) (float64, bool) {
		value, ok := r.Singles[name]
		return value, ok
	}
}
