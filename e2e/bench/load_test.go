//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// serving returns a load of POST requests on a handler.
func serving(t *testing.T, bodies []string, handler http.HandlerFunc) load {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	address := strings.TrimPrefix(s.URL, "http://")
	var requests [][]byte
	for _, body := range bodies {
		requests = append(requests, post(address, "/x", "Bearer y", "text/plain", body))
	}
	return load{address: address, script: cycle(requests), status: http.StatusOK, holds: "fine", distinct: len(requests)}
}

func TestRequestsArriveAsTheyWereMeant(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]int{}
	l := serving(t, []string{"one", "two", "three"}, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		seen[strings.Join([]string{r.Method, r.URL.Path, r.Header.Get("Authorization"), r.Header.Get("Content-Type"), string(body)}, " ")]++
		mu.Unlock()
		fmt.Fprint(w, "fine")
	})
	if _, err := warm(t.Context(), &l, 3, 0); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	for _, body := range []string{"one", "two", "three"} {
		if seen["POST /x Bearer y text/plain "+body] == 0 {
			t.Errorf("%s did not arrive: %v", body, seen)
		}
	}
}

func TestAReplyIsReadWhole(t *testing.T) {
	long := strings.Repeat("x", 200<<10)
	for name, handler := range map[string]http.HandlerFunc{
		"with a length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(long)+4))
			fmt.Fprint(w, long, "fine")
		},
		"in chunks": func(w http.ResponseWriter, _ *http.Request) {
			for range 2 {
				fmt.Fprint(w, long[:len(long)/2])
				w.(http.Flusher).Flush()
			}
			fmt.Fprint(w, "fine")
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := serving(t, []string{""}, handler)
			l.distinct = 5 // on one connection: what is left of one reply would be taken for the next
			if _, err := warm(t.Context(), &l, 1, 0); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAScriptSeesTheReplyToItsLastRequest(t *testing.T) {
	var count atomic.Int64
	l := serving(t, nil, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if n := count.Add(1); n > 1 && string(body) != fmt.Sprintf("fine %d", n-1) {
			t.Errorf("request %d says %q", n, body)
		}
		fmt.Fprintf(w, "fine %d", count.Load())
	})
	l.distinct = 4
	l.script = func(int, int) script {
		return func(last *reply) []byte {
			body := ""
			if last != nil {
				body = string(last.body)
			}
			return post(l.address, "/x", "", "text/plain", body)
		}
	}
	if _, err := warm(t.Context(), &l, 1, 0); err != nil {
		t.Fatal(err)
	}
	if count.Load() < 4 {
		t.Errorf("only %d requests", count.Load())
	}
}

func TestAScriptGoesOnWhereTheLastLoopEnded(t *testing.T) {
	var count atomic.Int64
	l := serving(t, nil, func(w http.ResponseWriter, r *http.Request) {
		if body, _ := io.ReadAll(r.Body); string(body) != fmt.Sprint(count.Load()) {
			t.Errorf("request %d says %s", count.Load(), body)
		}
		fmt.Fprintf(w, `{"next":"%d","is":"fine"}`, count.Add(1))
	})
	state := "0"
	l.script = func(int, int) script {
		return func(last *reply) []byte {
			if next := member(last, "next"); next != "" {
				state = next
			}
			return post(l.address, "/x", "", "text/plain", state)
		}
	}
	l.distinct = 3
	for range 3 {
		if _, err := warm(t.Context(), &l, 1, 0); err != nil {
			t.Fatal(err)
		}
	}
	if state != fmt.Sprint(count.Load()) || count.Load() < 9 {
		t.Errorf("%s after %d requests", state, count.Load())
	}
}

func TestASupplyGivesEachTokenOnce(t *testing.T) {
	var count atomic.Int64
	l := serving(t, []string{"token, please"}, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"access_token":"t%d","is":"fine"}`, count.Add(1))
	})
	s := &supply{issue: l, connections: 4}
	seen := map[string]bool{}
	for _, wanted := range []int{10, 100, 5} {
		left := len(s.tokens) - min(int(s.next.Load()), len(s.tokens))
		if err := s.fill(t.Context(), wanted); err != nil {
			t.Fatal(err)
		}
		if got := len(s.tokens); got != max(left, wanted) {
			t.Fatalf("%d of %d tokens", got, wanted)
		}
		for n := range wanted {
			token, ok := s.take()
			if !ok || seen[token] || !strings.HasPrefix(token, "t") {
				t.Fatalf("token %d is %q, %t", n, token, ok)
			}
			seen[token] = true
		}
	}
	if token, ok := s.take(); ok || token != "" {
		t.Errorf("one token too many: %q", token)
	}
	// A loop that has nothing more to send ends.
	l.script = func(int, int) script { return func(*reply) []byte { return nil } }
	if _, err := closed(t.Context(), &l, 1, time.Hour); err == nil || !strings.Contains(err.Error(), "no request was sent") {
		t.Errorf("got %v", err)
	}
}

func TestARefusalOfAServerThatDefendsItselfIsNotWrong(t *testing.T) {
	l := serving(t, []string{""}, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	l.distinct, l.or = 3, []int{http.StatusTooManyRequests, http.StatusServiceUnavailable}
	if o, err := warm(t.Context(), &l, 1, 0); err != nil || o.wrong != 0 || o.requests < 3 {
		t.Errorf("%+v, %v", o, err)
	}
}

func TestAScenarioLikeAnotherSaysItselfWhatIsAsGood(t *testing.T) {
	as := &target{load: load{status: http.StatusOK, or: make([]int, 0, 4)}, rate: 7}
	like := &target{scenario: scenario{or: turnedAway()}}
	like.borrow(as)
	refused := &reply{status: http.StatusServiceUnavailable}
	if err := like.load.check(refused); err != nil || like.rate != 7 {
		t.Errorf("rate %v, %v", like.rate, err)
	}
	if as.load.check(refused) == nil || like.load.check(&reply{status: http.StatusUnauthorized}) == nil {
		t.Error("what is as good for the one is for the other, or everything is")
	}
}

func TestAnOpenLoopCountsTheWaitForAConnection(t *testing.T) {
	const stall = 200 * time.Millisecond
	var count atomic.Int64
	l := serving(t, []string{""}, func(w http.ResponseWriter, _ *http.Request) {
		if count.Add(1) == 1 {
			time.Sleep(stall)
		}
		fmt.Fprint(w, "fine")
	})
	o, err := open(t.Context(), &l, 1, 1000, 100*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if o.requests != 100 || count.Load() != 100 {
		t.Errorf("%d requests were counted and %d arrived, want 100: a stall must not thin the schedule out", o.requests, count.Load())
	}
	// Request n was due after n ms and cannot have been sent before the stall was over.
	if least := percentile(o.latencies, 0); least < stall/2 {
		t.Errorf("the wait is missing: one took only %s", least)
	}
}

func TestWrongRepliesAreNeverFastSuccesses(t *testing.T) {
	refuseOneIn := func(n int64) http.HandlerFunc {
		var count atomic.Int64
		return func(w http.ResponseWriter, _ *http.Request) {
			if count.Add(1)%n == 0 {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
			fmt.Fprint(w, "fine")
		}
	}
	l := serving(t, []string{""}, refuseOneIn(200))
	o, err := open(t.Context(), &l, 2, 4000, 100*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if o.requests != 398 || o.wrong != 2 || len(o.latencies) != 398 || o.first == nil || !strings.Contains(o.first.Error(), "503") {
		t.Errorf("%d right with %d latencies and %d wrong: %v", o.requests, len(o.latencies), o.wrong, o.first)
	}
	l = serving(t, []string{""}, refuseOneIn(10))
	if _, err := open(t.Context(), &l, 2, 4000, 100*time.Millisecond); err == nil || !strings.Contains(err.Error(), "40 of 400") {
		t.Errorf("got %v", err)
	}
	l = serving(t, []string{""}, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "another body") })
	if _, err := warm(t.Context(), &l, 1, 0); err == nil || !strings.Contains(err.Error(), "another body") {
		t.Errorf("got %v", err)
	}
}

func TestALoopEndsWithItsServerAndWithItsContext(t *testing.T) {
	l := serving(t, []string{""}, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	if _, err := closed(t.Context(), &l, 2, time.Hour); err == nil {
		t.Error("a cut connection is no error")
	}
	ctx, stop := context.WithCancel(t.Context())
	l = serving(t, []string{""}, func(w http.ResponseWriter, _ *http.Request) { stop(); fmt.Fprint(w, "fine") })
	if _, err := closed(ctx, &l, 2, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := until(ctx, &l, 1); err != nil {
		t.Errorf("a load beside another ends with %v", err)
	}
}
