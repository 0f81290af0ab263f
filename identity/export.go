package identity

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

// exportPage bounds how many identities one reply has verifiers of.
const exportPage = 500

// verifierView is what the passwords and secrets of one identity are verified with, in the form that an import takes.
type verifierView struct {
	ID           string           `json:"id"`
	PasswordHash string           `json:"password_hash,omitempty"`
	Secrets      []exportedSecret `json:"secrets,omitempty"`
}

// exportFields says of which kind verifiers are wanted, and behind which id the page begins.
type exportFields struct {
	Kind  string `json:"kind"`
	After string `json:"after"`
}

// exportedSecret has the members of importSecret.
type exportedSecret importSecret

// exportVerifiers answers with verifiers, page by page. The order is the property: decided, written down, only then read. Protected
// identities are not part of an export; neither is a temporary password, which its owner may use once.
func (r *Room) exportVerifiers(_ context.Context, req *enforce.Request) (enforce.Resolved, error) {
	var in exportFields
	if err := req.Decode(&in); err != nil {
		return enforce.Resolved{}, err
	}
	if !slices.Contains([]string{kindUser, kindApplication}, in.Kind) {
		return enforce.Resolved{}, enforce.BadRequest("unknown_value", "/kind", "want user or application")
	}
	v := standing{r.directory}
	w := &write{action: actionExportVerifiers, target: "verifiers/" + in.Kind, many: true}
	w.question.Resource = resource(v, "", "", true)
	w.detail.Conditional = true // nothing changes that has a version
	w.question.Resource.AfterDetail = w.detail.json()
	entry := func(d policies.Decision) storage.AuditEntry {
		e := entryOf(req, d, w)
		e.ToVersion = 0
		return e
	}
	return enforce.Resolved{
		Question: w.question,
		Respond: func(ctx context.Context, d policies.Decision) (enforce.Reply, error) {
			done, err := r.Intent(ctx, entry(d))
			if err != nil {
				return enforce.Reply{}, err
			}
			items, next, err := r.verifiersOf(ctx, in.Kind, in.After)
			if err != nil {
				return enforce.Reply{}, errors.Join(err, done(ctx, outcomeFailed, "unreadable"))
			}
			if err := done(ctx, outcomeOK, ""); err != nil {
				return enforce.Reply{}, err
			}
			return noStore(enforce.Reply{Status: http.StatusOK, Body: page[verifierView]{Items: items, Next: next}}), nil
		},
		Denied: func(ctx context.Context, d policies.Decision) error { return r.refuse(ctx, entry(d), d) },
	}, nil
}

// verifiersOf returns one page of verifiers, and the id behind which the next begins, or "".
func (r *Room) verifiersOf(ctx context.Context, kind, after string) (items []verifierView, next string, err error) {
	items = []verifierView{}
	page, err := r.store.List(ctx, map[string]storage.Kind{kindUser: storage.UserKind, kindApplication: storage.ApplicationKind}[kind],
		storage.Query{After: after, Limit: exportPage})
	if err != nil {
		return nil, "", fmt.Errorf("read verifiers: %w", err)
	}
	for _, record := range page {
		switch record := record.(type) {
		case *storage.User:
			if !record.Protected && record.Password.Verifier != "" && !record.Password.Temporary {
				items = append(items, verifierView{ID: record.ID, PasswordHash: record.Password.Verifier})
			}
		case *storage.Application:
			if !record.Protected && len(record.Secrets) > 0 {
				items = append(items, verifierView{ID: record.ID, Secrets: secretsOf(record)})
			}
		}
	}
	if len(page) == exportPage {
		next = page[exportPage-1].RecordMeta().ID
	}
	return items, next, nil
}

func secretsOf(a *storage.Application) []exportedSecret {
	secrets := make([]exportedSecret, len(a.Secrets))
	for n, s := range a.Secrets {
		secrets[n] = exportedSecret{
			ID: s.ID, Verifier: s.Verifier, Label: s.Label, CreatedAt: &a.Secrets[n].CreatedAt, NotBefore: s.NotBefore, ExpiresAt: s.ExpiresAt,
			RevokedAt: s.RevokedAt,
		}
	}
	return secrets
}
