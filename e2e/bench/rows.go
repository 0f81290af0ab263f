//go:build linux

package main

import "time"

// row is one line of the requirements: what was measured and what it may be, both false where the run did not measure it.
type row struct {
	id, what string
	scenario string // whose latencies, throughput and memory stand beside it; empty for none
	floor    string // or other scenario that its budget is a ratio of; empty for none
	unit     unit
	atLeast  bool // the budget is a least, and not a most
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
	perSecond = unit{"/s", 1}
	times     = unit{"×", 2}
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
		ratio("PO-01", "client_credentials, opaque", "token-opaque", 3.5, "floor-aead"),
		ratio("PO-02", "client_credentials, JWT RS256", "token-rs256", 1.1, "floor-rs256"),
		ratio("PO-03", "introspection, opaque", "introspect-opaque", 3.0, "floor"),
		ratio("PO-04", "introspection, JWT at first sight", "introspect-jwt-first", 1.7, "floor-es256-verify"),
		ratio("PO-04", "introspection, JWT seen before", "introspect-jwt-seen", 3.0, "floor"),
		rate("PO-07", "password logins per second of one core", "password", 0.9, "floor-argon2id"),
		flooded("PO-08", "p99 of evaluation beside 50 connections of logins", "evaluation-flooded", 3.0, "evaluation-calm"),
		flooded("PO-08", "p99 of client_credentials beside them", "token-flooded", 3.0, "token-calm"),
		ratio("PI-01", "GET user by id, cached", "user-get", 2.5, "floor"),
		fixed("PI-02", "operations on one object at 1,000,000 users against 10,000, the worst of them", times, 1.2,
			func(r *results) (float64, bool) { factor, name := r.worstGrowth(); return factor, name != "" }),
		fixed("PI-03", "page 10,000 of the users against page 1, at 1,000,000", times, 1.5,
			ofLarge(func(s *sized) float64 { return max(s.DeepPage/s.FirstPage, s.FirstPage/s.DeepPage) })),
		fixed("PI-04", "start to ready, 1,000,000 users, 100,000 applications", seconds, 5, ofLarge(func(s *sized) float64 { return s.StartSeconds })),
		fixed("PI-04", "resident memory with them", mebibytes, 1024, ofLarge(func(s *sized) float64 { return s.RestMiB })),
		fixed("PI-05", "edit of a role that 100,000 have: reply", micros, 20_000, ofLarge(func(s *sized) float64 { return s.of(commonEdited) })),
		fixed("PI-05", "the same: effective for all", seconds, 1, ofLarge(func(s *sized) float64 { return s.Effective })),
		fixed("PD-03", "evaluation at 1,000 to 1,000,000 users, working set hot, the dearest directory against its floor", times, 2.5,
			decided(func(_, _, floors float64) float64 { return floors })),
		fixed("PD-03", "the same: the dearest directory against the cheapest", times, 1.15,
			decided(func(dearest, cheapest, _ float64) float64 { return dearest / cheapest })),
		limited("PD-04", "batch of 100, per decision", "evaluations-100", 15),
		ratio("PD-05", "forward-auth, permit", "forward-permit", 2.5, "floor"),
		ratio("PD-05", "forward-auth, no such row", "forward-unmapped", 2.5, "floor"),
		fixed("PD-06", "evaluation with the decision log against without", times, 1.15, func(r *results) (float64, bool) {
			small := r.size("1k")
			if small == nil || small.Unlogged == 0 {
				return 0, false
			}
			return small.Logged / small.Unlogged, true
		}),
		fixed("PD-07", "saved edit of a policy of 200 rules to the first decision by it", millis, 500, single("edit to decision")),
		fixed("PD-08", "replay of a recorded decision: 100,000 in a minute of one core", micros, 600, single("replay")),
		limited("PD-10", "subject search, one page, at 10,000 users", "search-subject", 50_000),
		fixed("PD-10", "the same, at 1,000,000 users", micros, 50_000, ofLarge(func(s *sized) float64 { return s.of(searchDecided) })),
		ratio("DT-01", "token through a dialect, against the same natively", "dialect-token", 1.5, "native-token"),
		ratio("DT-02", "decision through a dialect, against the same natively", "dialect-decision", 1.5, "native-decision"),
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

// rate is a budget on how much one second of CPU time is enough for: at least a part of what it is for the floor.
func rate(id, what, scenario string, factor float64, floor string) row {
	of := func(r *results, name string) (float64, bool) {
		micros, ok := r.cpu(name)
		return float64(time.Second/time.Microsecond) / micros, ok
	}
	return row{
		id: id, what: what, scenario: scenario, floor: floor, unit: perSecond, atLeast: true, rule: number(factor, 1) + " × " + floor,
		measured: func(r *results) (float64, bool) { return of(r, scenario) },
		budget: func(r *results) (float64, bool) {
			most, ok := of(r, floor)
			return factor * most, ok
		},
	}
}

// flooded is a budget on the open loop's p99 with something beside it, against the p99 without.
func flooded(id, what, scenario string, factor float64, without string) row {
	return row{
		id: id, what: what, scenario: scenario, floor: without, unit: millis, rule: number(factor, 1) + " × " + without,
		measured: func(r *results) (float64, bool) { return r.p99(scenario) },
		budget: func(r *results) (float64, bool) {
			calm, ok := r.p99(without)
			return factor * calm, ok
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

// limited is a budget on CPU time per unit that is no ratio.
func limited(id, what, scenario string, most float64) row {
	r := fixed(id, what, micros, most, func(r *results) (float64, bool) { return r.cpu(scenario) })
	r.scenario = scenario
	return r
}

// tail is a budget on the open loop's p99.
func tail(id, what, scenario string, budget time.Duration) row {
	r := fixed(id, what, millis, float64(budget)/float64(time.Millisecond), func(r *results) (float64, bool) { return r.p99(scenario) })
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
