package enforce_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"testing"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
)

// asking is a row that asks about three more things in each attempt, and is made anew twice.
func asking(attempts int, answers *[]policies.Decision) enforce.Route {
	return enforce.Route{
		Method: http.MethodPost, Path: "/v1/things", Entrypoint: policies.EntryAdmin, Type: "iam/users", Action: "write",
		Body: enforce.JSONBody,
		Resolve: func(_ context.Context, r *enforce.Request) (enforce.Resolved, error) {
			return enforce.Resolved{
				Question: policies.Question{Subject: policies.Nobody("user", "one")},
				Respond: func(ctx context.Context, parent policies.Decision) (enforce.Reply, error) {
					for _, id := range []string{"a", "b", "c"} {
						q := policies.Question{Subject: policies.Nobody("user", "one"), Action: "delete"}
						q.Resource.Type, q.Resource.ID = "iam/groups", id
						d, err := r.Ask(ctx, parent, &q)
						if err != nil {
							return enforce.Reply{}, err
						}
						*answers = append(*answers, d)
					}
					if r.Attempt < attempts-1 {
						return enforce.Reply{}, enforce.ErrRetry
					}
					return enforce.Reply{Status: http.StatusOK}, nil
				},
			}, nil
		},
	}
}

func TestEveryQuestionOfARequestHasItsLine(t *testing.T) {
	var answers []policies.Decision
	w := newWorld(t, &fakePDP{allow: true}, asking(3, &answers))
	reply := w.do(http.MethodPost, "/v1/things", "application/json", "{}")
	if reply.Code != http.StatusOK || len(answers) != 9 {
		t.Fatalf("got %d after %d answers", reply.Code, len(answers))
	}
	if err := w.log.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	parent := reply.Header().Get("Decision-Id")
	for decoder := json.NewDecoder(&w.lines); decoder.More(); {
		var line struct {
			ID     string `json:"decision_id"`
			Parent string `json:"parent_id"`
		}
		if err := decoder.Decode(&line); err != nil {
			t.Fatal(err)
		}
		if seen[line.ID] || (line.ID == parent) != (line.Parent == "") || line.Parent != "" && line.Parent != parent {
			t.Errorf("line %+v of the request %s", line, parent)
		}
		seen[line.ID] = true
	}
	// The last attempt counts; those before it changed nothing and are not told.
	if len(seen) != 4 || !seen[answers[6].ID] || !seen[answers[8].ID] || seen[answers[0].ID] {
		t.Errorf("the log has %v", seen)
	}
	if q := w.pdp.asked[1]; q.Action != "delete" || q.Resource.Type != "iam/groups" || !q.Now.Equal(now()) {
		t.Errorf("the question was not completed: %+v", q)
	}
}

func TestAnOutageOfAQuestionIsNoAnswer(t *testing.T) {
	for name, spoil := range map[string]func(*fakePDP){
		"of the decision": func(f *fakePDP) { f.err = policies.ErrUndecided },
		"of its reasons":  func(f *fakePDP) { f.allow, f.whyErr = false, policies.ErrUndecided },
		"an obligation that nobody obeys": func(f *fakePDP) {
			lifetime := int64(1)
			f.obligations = policies.Obligations{Lifetime: &lifetime}
		},
	} {
		t.Run(name, func(t *testing.T) {
			pdp := &fakePDP{allow: true}
			var got error
			w := newWorld(t, pdp, enforce.Route{
				Method: http.MethodPost, Path: "/v1/things", Entrypoint: policies.EntryAdmin, Type: "iam/users", Action: "write",
				Body: enforce.JSONBody,
				Resolve: func(_ context.Context, r *enforce.Request) (enforce.Resolved, error) {
					return enforce.Resolved{Respond: func(ctx context.Context, parent policies.Decision) (enforce.Reply, error) {
						spoil(pdp)
						_, got = r.Ask(ctx, parent, &policies.Question{})
						return enforce.Reply{}, got
					}}, nil
				},
			})
			reply := w.do(http.MethodPost, "/v1/things", "application/json", "{}")
			if reply.Code != http.StatusServiceUnavailable || !errors.Is(got, policies.ErrUndecided) {
				t.Errorf("got %d, %v", reply.Code, got)
			}
		})
	}
}
