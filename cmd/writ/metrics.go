package main

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/writ-authz/writ/identity"
	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/storage"
)

// metrics are the counters of one node. Every label takes its values from a closed list: the route table, the entrypoints, the
// grant types, HTTP status codes.
type metrics struct {
	registry  *prometheus.Registry
	requests  *prometheus.CounterVec
	seconds   *prometheus.HistogramVec
	decisions *prometheus.CounterVec
	evaluated *prometheus.HistogramVec
	tokens    *prometheus.CounterVec
	hashes    prometheus.Histogram
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "writ_http_requests_total", Help: "Requests by listener, route template and status.",
		}, []string{"listener", "route", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "writ_http_request_seconds", Help: "Time from the first byte of a request to the end of its reply.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"listener"}),
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "writ_decisions_total", Help: "Decisions by entrypoint and result: permit, deny or error.",
		}, []string{"entrypoint", "result"}),
		evaluated: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "writ_decision_seconds", Help: "Time to take one decision.",
			Buckets: []float64{.00001, .00002, .00005, .0001, .0002, .0005, .001, .005, .02, .1, .2, 1},
		}, []string{"entrypoint"}),
		tokens: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "writ_token_decisions_total",
			Help: "Token requests of authenticated clients, by grant type and result: permit, deny or error.",
		}, []string{"grant_type", "result"}),
		hashes: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "writ_password_hash_seconds", Help: "Time that one slow hash took, without the wait for it.",
			Buckets: []float64{.01, .02, .03, .05, .075, .1, .15, .25, .5, 1, 2.5, 5},
		}),
	}
	m.registry.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		m.requests, m.seconds, m.decisions, m.evaluated, m.tokens, m.hashes,
	)
	return m
}

// request counts one HTTP request; route is empty where none matched.
func (m *metrics) request(listener, route string, status int, took time.Duration) {
	if route == "" {
		route = "none"
	}
	m.requests.WithLabelValues(listener, route, strconv.Itoa(status)).Inc()
	m.seconds.WithLabelValues(listener).Observe(took.Seconds())
}

// hashed observes one slow hash.
func (m *metrics) hashed(took time.Duration) { m.hashes.Observe(took.Seconds()) }

// handler serves the exposition format.
func (m *metrics) handler() http.HandlerFunc {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}).ServeHTTP
}

// observe adds what is read when the metrics are scraped.
func (m *metrics) observe(n *node) {
	gauge := func(name, help string, read func() float64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read))
	}
	counter := func(name, help string, read func() float64) {
		m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, read))
	}
	counter("writ_fetches_total", "Keys and metadata of other servers that were fetched.", func() float64 {
		succeeded, _ := n.auth.Fetches()
		return float64(succeeded)
	})
	counter("writ_fetch_failures_total", "Keys and metadata of other servers that could not be fetched.", func() float64 {
		_, failed := n.auth.Fetches()
		return float64(failed)
	})
	gauge("writ_policy_degraded", "1 while a newer policy set was refused and an older one serves.", func() float64 {
		return truth(n.pdp.Status().Degraded != "")
	})
	gauge("writ_policy_loaded_timestamp_seconds", "When the active policy set was loaded.", func() float64 {
		return float64(n.pdp.Status().LoadedAt.Unix())
	})
	counter("writ_policy_reloads_total", "Policy sets that were swapped in after the first.", func() float64 {
		return float64(n.pdp.Status().Reloads)
	})
	counter("writ_policy_reload_failures_total", "Policy sets that were refused.", func() float64 {
		return float64(n.pdp.Status().Failures)
	})
	counter("writ_decision_deadline_exceeded_total", "Decisions that hit the deadline.", func() float64 {
		return float64(n.pdp.Status().Overdue)
	})
	counter("writ_decision_log_dropped_total", "Decision-log lines that were dropped because the queue was full.", func() float64 {
		return float64(n.decisions.Dropped())
	})
	gauge("writ_feed_age_seconds", "How long ago the node last knew that it was current.", func() float64 {
		return n.follower.Age().Seconds()
	})
	gauge("writ_authority_sequence", "The authority sequence that the node has applied.", func() float64 {
		return float64(n.follower.Sequence())
	})
	m.away(n.breaker)
	m.overload(n.gate)
	counter("writ_connections_closed_total", "Connections that were closed because there were more than max_connections.", func() float64 {
		return float64(n.gaveWay.Load())
	})
	m.passwords(n.room)
	m.audit(n.room)
	m.registry.MustRegister(policyInfo{pdp: n.pdp, info: prometheus.NewDesc("writ_policy_info",
		"The active policy set.", []string{"policy_revision", "data_revision"}, nil)})
}

// away exposes the outages of the store; an embedded one has none.
func (m *metrics) away(b *storage.Breaker) {
	read := func(of func(*storage.Breaker) float64) func() float64 {
		return func() float64 {
			if b == nil {
				return 0
			}
			return of(b)
		}
	}
	m.registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "writ_store_away", Help: "1 while the store does not answer and is not asked by requests.",
		}, read(func(b *storage.Breaker) float64 { return truth(b.Serves() == storage.ServesNothing) })),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "writ_store_writes_away", Help: "1 while the store answers, but takes no writes and is sent none by requests.",
		}, read(func(b *storage.Breaker) float64 { return truth(b.Serves() == storage.ServesReads) })),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "writ_store_outages_total", Help: "How often the store, or what writes in it, went away.",
		}, read(func(b *storage.Breaker) float64 { return float64(b.Outages()) })),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "writ_store_refused_total", Help: "Calls of the store that were refused because it was away.",
		}, read(func(b *storage.Breaker) float64 { return float64(b.Refused()) })),
	)
}

func truth(it bool) float64 {
	if it {
		return 1
	}
	return 0
}

// overload exposes what the gate sees and does.
func (m *metrics) overload(g *gate) {
	m.registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "writ_overloaded", Help: "1 while requests that cannot be served soon are turned away.",
		}, func() float64 { return truth(g.places.Load() > 0) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "writ_runnable_goroutines", Help: "What waited for a core when last looked at; overload_queue is about so much for each core.",
		}, func() float64 { return float64(g.runnable.Load()) }),
	)
	for c := decisions; c < classes; c++ {
		m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "writ_shed_total", Help: "Requests that were turned away in an overload, by what they were about.",
			ConstLabels: prometheus.Labels{"of": c.String()},
		}, func() float64 { return float64(g.shed[c].Load()) }))
	}
}

// passwords exposes the figures of the password pool, of guessing and of logins.
func (m *metrics) passwords(room *identity.Room) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "writ_password_pool", Help: "Slow hashes that run or wait.",
	}, func() float64 { return float64(room.Figures().Inside) }))
	counter := func(name, help string, labels prometheus.Labels, read func(identity.Figures) int64) {
		m.registry.MustRegister(prometheus.NewCounterFunc(
			prometheus.CounterOpts{Name: name, Help: help, ConstLabels: labels},
			func() float64 { return float64(read(room.Figures())) },
		))
	}
	counter("writ_password_pool_full_total", "Slow hashes that found no place and were answered 503.", nil,
		func(f identity.Figures) int64 { return f.PoolFull })
	const throttled = "Attempts to prove a password or a secret that were told to wait."
	counter("writ_throttled_total", throttled, prometheus.Labels{"of": "people"},
		func(f identity.Figures) int64 { return f.ThrottledPeople })
	counter("writ_throttled_total", throttled, prometheus.Labels{"of": "machines"},
		func(f identity.Figures) int64 { return f.ThrottledMachines })
	for _, outcome := range identity.LoginOutcomes() {
		counter("writ_logins_total", "Attempts to log in with a password, by outcome.", prometheus.Labels{"outcome": outcome},
			func(f identity.Figures) int64 { return f.Logins[outcome] })
	}
	counter("writ_logins_unwritten_total", "Logins and failures that the audit does not have, because they were too many or it failed.", nil,
		func(f identity.Figures) int64 { return f.UnwrittenLogins })
}

// audit exposes the figures of reading secrets and of checkpoints.
func (m *metrics) audit(room *identity.Room) {
	counter := func(name, help string, labels prometheus.Labels, read func(identity.Figures) int64) {
		m.registry.MustRegister(prometheus.NewCounterFunc(
			prometheus.CounterOpts{Name: name, Help: help, ConstLabels: labels},
			func() float64 { return float64(read(room.Figures())) },
		))
	}
	for _, outcome := range identity.RevealOutcomes() {
		counter("writ_secret_reveals_total", "Attempts to read a secret, by outcome.", prometheus.Labels{"outcome": outcome},
			func(f identity.Figures) int64 { return f.Reveals[outcome] })
	}
	counter("writ_audit_checkpoints_total", "Checkpoints of the audit that were written.", nil,
		func(f identity.Figures) int64 { return f.Checkpoints })
	counter("writ_audit_checkpoint_failures_total", "Checkpoints of the audit that the store or the anchor did not take, and that are tried again.", nil,
		func(f identity.Figures) int64 { return f.CheckpointFailures })
	counter("writ_audit_refusals_left_out_total", "Refusals without an audit entry of their own; the next one of the caller counts them.", nil,
		func(f identity.Figures) int64 { return f.RefusalsLeftOut })
}

// policyInfo exposes the active revision alone, so that old ones do not pile up.
type policyInfo struct {
	pdp  *policies.PDP
	info *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (p policyInfo) Describe(into chan<- *prometheus.Desc) { into <- p.info }

// Collect implements prometheus.Collector.
func (p policyInfo) Collect(into chan<- prometheus.Metric) {
	status := p.pdp.Status()
	into <- prometheus.MustNewConstMetric(p.info, prometheus.GaugeValue, 1, status.Revision, status.DataRevision)
}

// countedPDP counts and traces decisions on their way. It changes none.
type countedPDP struct {
	*policies.PDP
	metrics *metrics
	traces  *traces
	now     func() time.Time
}

// Decide implements enforce.Decider.
func (p countedPDP) Decide(ctx context.Context, q *policies.Question) (policies.Decision, error) {
	started := p.now()
	ctx, traced := p.traces.decision(ctx, q)
	decision, err := p.PDP.Decide(ctx, q)
	result := p.count(q, started, decision, err)
	traced(decision, result)
	if q.Token != nil {
		p.metrics.tokens.WithLabelValues(grantType(q.Token.GrantType), result).Inc()
	}
	return decision, err
}

// Document implements decide.Documents.
func (p countedPDP) Document(ctx context.Context, name string, q *policies.Question) (policies.Decision, json.RawMessage, error) {
	started := p.now()
	ctx, traced := p.traces.decision(ctx, q)
	decision, document, err := p.PDP.Document(ctx, name, q)
	traced(decision, p.count(q, started, decision, err))
	return decision, document, err
}

// Filter implements decide.Documents.
func (p countedPDP) Filter(
	ctx context.Context, name string, q *policies.Question, unknowns []string,
) (policies.Decision, *policies.Filter, error) {
	started := p.now()
	ctx, traced := p.traces.decision(ctx, q)
	decision, filter, err := p.PDP.Filter(ctx, name, q, unknowns)
	traced(decision, p.count(q, started, decision, err))
	return decision, filter, err
}

// count counts what was evaluated; a decision without an id was not.
func (p countedPDP) count(q *policies.Question, started time.Time, decision policies.Decision, err error) string {
	result := "deny"
	switch {
	case err != nil:
		result = "error"
	case decision.Allow:
		result = "permit"
	}
	if decision.ID != "" {
		entrypoint := string(q.Entrypoint)
		p.metrics.evaluated.WithLabelValues(entrypoint).Observe(p.now().Sub(started).Seconds())
		p.metrics.decisions.WithLabelValues(entrypoint, result).Inc()
	}
	return result
}

// grantType keeps the label bounded whatever a client sends.
func grantType(given string) string {
	switch given {
	case "client_credentials", "password", "refresh_token":
		return given
	}
	return "other"
}
