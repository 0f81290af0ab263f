package client_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/writ-authz/writ/oauth/client"
)

const evaluation = "/access/v1/evaluation"

func mayAdaRead() client.Question {
	return client.Question{
		Subject: client.Subject{Type: "user", ID: "ada"}, Action: client.Action{Name: "read"},
		Resource: client.Resource{Type: "ledger/accounts", ID: "123"},
	}
}

// TestOnlyAWellFormedYesAllows walks what a server, or whatever stands in front of it, may answer.
func TestOnlyAWellFormedYesAllows(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		media  string
		want   error
	}{
		"yes":                      {status: 200, body: `{"decision":true}`},
		"yes, with more":           {status: 200, body: `{"decision":true,"context":null,"future":{"a":[1]}}`, media: "application/json; charset=utf-8"},
		"no":                       {status: 200, body: `{"decision":false}`, want: client.ErrDenied},
		"a text":                   {status: 200, body: `{"decision":"true"}`, want: client.ErrUnavailable},
		"a number":                 {status: 200, body: `{"decision":1}`, want: client.ErrUnavailable},
		"null":                     {status: 200, body: `{"decision":null}`, want: client.ErrUnavailable},
		"nothing":                  {status: 200, body: `{}`, want: client.ErrUnavailable},
		"another name":             {status: 200, body: `{"Decision":true}`, want: client.ErrUnavailable},
		"twice":                    {status: 200, body: `{"decision":false,"decision":true}`, want: client.ErrUnavailable},
		"twice, folded":            {status: 200, body: `{"decision":false,"DECISION":true}`, want: client.ErrDenied},
		"more behind it":           {status: 200, body: `{"decision":true}{"decision":false}`, want: client.ErrUnavailable},
		"cut off":                  {status: 200, body: `{"decision":true`, want: client.ErrUnavailable},
		"a list":                   {status: 200, body: `[{"decision":true}]`, want: client.ErrUnavailable},
		"true":                     {status: 200, body: `true`, want: client.ErrUnavailable},
		"empty":                    {status: 200, body: ``, want: client.ErrUnavailable},
		"a page":                   {status: 200, body: `{"decision":true}`, media: "text/html", want: client.ErrUnavailable},
		"yes, and an error beside": {status: 200, body: `{"decision":true,"context":{"error":{"status":503}}}`, want: client.ErrUnavailable},
		"yes, with an odd context": {status: 200, body: `{"decision":true,"context":7}`, want: client.ErrUnavailable},
		"yes, with doubled ones":   {status: 200, body: `{"decision":true,"context":{"error":null,"error":{}}}`, want: client.ErrUnavailable},
		"yes, with odd reasons":    {status: 200, body: `{"decision":true,"context":{"reasons":7}}`, want: client.ErrUnavailable},
		"another success":          {status: 201, body: `{"decision":true}`, want: client.ErrUnavailable},
		"no content":               {status: 204, want: client.ErrUnavailable},
		"a redirect":               {status: 302, body: `{"decision":true}`, want: client.ErrUnavailable},
		"a bad question":           {status: 400, body: `"/context/ip: want an IP address"`, want: client.ErrBadQuestion},
		"who are you":              {status: 401, body: `"no"`, want: client.ErrRefused},
		"you may not ask":          {status: 403, body: `"you may not ask this: not_granted"`, want: client.ErrRefused},
		"no such endpoint":         {status: 404, body: `"no such endpoint"`, want: client.ErrUnavailable},
		"too many":                 {status: 429, body: `""`, want: client.ErrUnavailable},
		"an error":                 {status: 500, body: `{"decision":true}`, want: client.ErrUnavailable},
		"an outage":                {status: 503, body: `"no decision can be taken now"`, want: client.ErrUnavailable},
		"too long":                 {status: 200, body: strings.Repeat(" ", 5<<20) + `{"decision":true}`, want: client.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			s.tell(evaluation, func(*http.Request) (*http.Response, error) {
				reply := s.reply(c.status, c.body)
				if c.media != "" {
					reply.Header.Set("Content-Type", c.media)
				}
				return reply, nil
			})
			used := s.client()
			err := used.Check(t.Context(), mayAdaRead())
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			for _, other := range []error{client.ErrDenied, client.ErrUnavailable, client.ErrRefused, client.ErrBadQuestion} {
				if other != c.want && errors.Is(err, other) {
					t.Errorf("%v is also %v", err, other)
				}
			}
			answer, err := used.Evaluate(t.Context(), mayAdaRead())
			if answer.Allowed != (c.want == nil) || (err == nil) != (c.want == nil || c.want == client.ErrDenied) {
				t.Errorf("Evaluate: %+v, %v", answer, err)
			}
		})
	}
}

func TestReasonsComeWhenAskedFor(t *testing.T) {
	s := newServer(t)
	s.tell(evaluation, s.says(200, `{"decision":false,"context":{"reasons":[{"code":"not_granted","rule":"decision.granted","text":"No grant."}],
		"decision_id":"d1","policy_revision":"p1","missing_grant":{"action":"read"}}}`))
	q := mayAdaRead()
	q.Reasons = true
	err := s.client().Check(t.Context(), q)
	var denied *client.DeniedError
	if !errors.As(err, &denied) || len(denied.Answer.Reasons) != 1 || denied.Answer.DecisionID != "d1" || denied.Answer.PolicyRevision != "p1" ||
		denied.Answer.Reasons[0].Text != "No grant." || denied.Answer.Context["missing_grant"] == nil ||
		err.Error() != "denied: user/ada may not read ledger/accounts/123 (not_granted)" {
		t.Errorf("got %v", err)
	}
	want := `{"subject":{"type":"user","id":"ada"},"action":{"name":"read"},"resource":{"type":"ledger/accounts","id":"123"},"options":{"reasons":true}}`
	if got := s.bodies[len(s.bodies)-1]; got != want {
		t.Errorf("sent %s", got)
	}
}

func TestHalfAQuestionIsNotAsked(t *testing.T) {
	s := newServer(t)
	for name, change := range map[string]func(*client.Question){
		"no subject type":  func(q *client.Question) { q.Subject.Type = "" },
		"no subject":       func(q *client.Question) { q.Subject.ID = "" },
		"no action":        func(q *client.Question) { q.Action.Name = "" },
		"no resource type": func(q *client.Question) { q.Resource.Type = "" },
		"no resource":      func(q *client.Question) { q.Resource.ID = "" },
		"no JSON":          func(q *client.Question) { q.Context = map[string]any{"f": func() {}} },
	} {
		q := mayAdaRead()
		change(&q)
		if err := s.client().Check(t.Context(), q); !errors.Is(err, client.ErrBadQuestion) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if s.count(evaluation) != 0 {
		t.Error("it was asked")
	}
}

// TestACallThatGotNoReplyIsSentOnceMore: and no more, and a 503 is a reply.
func TestACallThatGotNoReplyIsSentOnceMore(t *testing.T) {
	for name, c := range map[string]struct {
		first func(*http.Request) (*http.Response, error)
		calls int
		want  error
	}{
		"no connection": {first: down, calls: 2},
		"a proxy that got none": {first: func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 502, Body: http.NoBody}, nil
		}, calls: 2},
		"an outage": {first: func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 503, Body: http.NoBody}, nil
		}, calls: 1, want: client.ErrUnavailable},
	} {
		s := newServer(t)
		s.tell(evaluation, func(r *http.Request) (*http.Response, error) {
			s.tell(evaluation, nil)
			return c.first(r)
		})
		if err := s.client().Check(t.Context(), mayAdaRead()); !errors.Is(err, c.want) || s.count(evaluation) != c.calls {
			t.Errorf("%s: %v after %d calls", name, err, s.count(evaluation))
		}
	}
	s := newServer(t)
	s.tell(evaluation, down)
	if err := s.client().Check(t.Context(), mayAdaRead()); !errors.Is(err, client.ErrUnavailable) || s.count(evaluation) != 2 {
		t.Errorf("%v after %d calls", err, s.count(evaluation))
	}
}

func TestACallHasADeadline(t *testing.T) {
	s := newServer(t)
	s.tell(evaluation, func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() })
	c := s.client(func(c *client.Config) { c.Timeout = 20 * time.Millisecond })
	if err := c.Check(t.Context(), mayAdaRead()); !errors.Is(err, client.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Check(ctx, mayAdaRead()); !errors.Is(err, client.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

func TestBatch(t *testing.T) {
	const path = "/access/v1/evaluations"
	read := client.Question{Resource: client.Resource{Type: "ledger/accounts", ID: "1"}}
	write := client.Question{Action: client.Action{Name: "write"}, Resource: client.Resource{Type: "ledger/accounts", ID: "1"}}
	for name, c := range map[string]struct {
		semantic client.Semantic
		body     string
		want     string // y, n, ? of each; empty: no answer
	}{
		"all":                      {body: `{"evaluations":[{"decision":true},{"decision":false}]}`, want: "yn"},
		"an item that cannot":      {body: `{"evaluations":[{"decision":true},{"decision":false,"context":{"error":{"status":503,"message":"later"}}}]}`, want: "y?"},
		"an item that is odd":      {body: `{"evaluations":[{"decision":true},{"decision":null}]}`, want: "y?"},
		"an item, yes and error":   {body: `{"evaluations":[{"decision":true,"context":{"error":{"status":500}}},{"decision":true}]}`, want: "?y"},
		"too few":                  {body: `{"evaluations":[{"decision":true}]}`},
		"too many":                 {body: `{"evaluations":[{"decision":true},{"decision":true},{"decision":true}]}`},
		"a single answer":          {body: `{"decision":true}`},
		"an item of another type":  {body: `{"evaluations":[{"decision":true},{"decision":"true"}]}`},
		"first denial":             {semantic: client.DenyOnFirstDeny, body: `{"evaluations":[{"decision":false}]}`, want: "n"},
		"no denial":                {semantic: client.DenyOnFirstDeny, body: `{"evaluations":[{"decision":true},{"decision":true}]}`, want: "yy"},
		"no denial, and too few":   {semantic: client.DenyOnFirstDeny, body: `{"evaluations":[{"decision":true}]}`},
		"more after the denial":    {semantic: client.DenyOnFirstDeny, body: `{"evaluations":[{"decision":false},{"decision":true}]}`},
		"first permit":             {semantic: client.PermitOnFirstPermit, body: `{"evaluations":[{"decision":true}]}`, want: "y"},
		"a denial, and a permit":   {semantic: client.PermitOnFirstPermit, body: `{"evaluations":[{"decision":false},{"decision":true}]}`, want: "ny"},
		"a denial, and then none":  {semantic: client.PermitOnFirstPermit, body: `{"evaluations":[{"decision":false}]}`},
		"more after the permit":    {semantic: client.PermitOnFirstPermit, body: `{"evaluations":[{"decision":true},{"decision":false}]}`},
		"nothing where all denied": {semantic: client.DenyOnFirstDeny, body: `{"evaluations":[]}`},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			s.tell(path, s.says(200, c.body))
			answers, err := s.client().EvaluateAll(t.Context(), client.Batch{
				Defaults:  client.Question{Subject: client.Subject{Type: "user", ID: "ada"}, Action: client.Action{Name: "read"}},
				Questions: []client.Question{read, write}, Semantic: c.semantic,
			})
			got := ""
			for _, a := range answers {
				switch {
				case a.Err != nil:
					if a.Allowed || !errors.Is(a.Err, client.ErrUnavailable) {
						t.Errorf("%+v", a)
					}
					got += "?"
				case a.Allowed:
					got += "y"
				default:
					got += "n"
				}
			}
			if got != c.want || (err == nil) != (c.want != "") || err != nil && !errors.Is(err, client.ErrUnavailable) {
				t.Errorf("got %q, %v, want %q", got, err, c.want)
			}
		})
	}
	s := newServer(t)
	for name, b := range map[string]client.Batch{
		"empty": {}, "an item without a subject": {Questions: []client.Question{mayAdaRead(), read}},
	} {
		if _, err := s.client().EvaluateAll(t.Context(), b); !errors.Is(err, client.ErrBadQuestion) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPermissions(t *testing.T) {
	const path = "/v1/permissions"
	s := newServer(t)
	ada := client.Subject{Type: "user", ID: "ada"}
	s.tell(path, s.says(200, `{"permissions":[{"tenant":"","resource":"ledger","action":"read","via":["own"]}]}`))
	held, err := s.client().Permissions(t.Context(), ada, client.AnyTenant)
	if err != nil || len(held) != 1 || held[0].Resource != "ledger" || held[0].Via[0] != "own" {
		t.Errorf("%+v, %v", held, err)
	}
	if got := s.bodies[len(s.bodies)-1]; got != `{"subject":{"type":"user","id":"ada","tenant":"*"}}` {
		t.Errorf("sent %s", got)
	}
	for body, want := range map[string]error{
		`{}`: client.ErrUnavailable, `{"permissions":null}`: client.ErrUnavailable, `[]`: client.ErrUnavailable, `{"permissions":[]}`: nil,
	} {
		s.tell(path, s.says(200, body))
		if held, err := s.client().Permissions(t.Context(), ada, ""); !errors.Is(err, want) || len(held) > 0 {
			t.Errorf("%s: %v, %v", body, held, err)
		}
	}
	if _, err := s.client().Permissions(t.Context(), client.Subject{}, ""); !errors.Is(err, client.ErrBadQuestion) {
		t.Errorf("no subject: %v", err)
	}
}

// FuzzAnswer puts any body in the place of an answer. It allows only if it is one JSON object that says so once, in so many letters.
func FuzzAnswer(f *testing.F) {
	s := newServer(f)
	c := s.client()
	f.Fuzz(func(t *testing.T, body string) {
		s.tell(evaluation, s.says(200, body))
		err := c.Check(context.Background(), mayAdaRead())
		if err == nil && !saysYes(body) {
			t.Fatalf("allowed: %q", body)
		}
		if err != nil && !errors.Is(err, client.ErrDenied) && !errors.Is(err, client.ErrUnavailable) &&
			!errors.Is(err, client.ErrRefused) && !errors.Is(err, client.ErrBadQuestion) {
			t.Fatalf("%q: %v", body, err)
		}
	})
}
