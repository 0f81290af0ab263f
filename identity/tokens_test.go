package identity_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/writ-authz/writ/identity"
	"github.com/writ-authz/writ/storage"
)

// epochOf is the epoch of a user or an application, as tokens are compared with it.
func (w *world) epochOf(kind, id string) int64 {
	w.t.Helper()
	s, err := w.room.Subject(w.t.Context(), kind, id)
	must(w.t, err)
	return s.Epoch
}

func TestRevokingTheTokensOfAUser(t *testing.T) {
	w := newWorld(t)
	ada, boss := w.user("ada", ""), w.user("boss", `,"roles":["system:owner"]`)
	w.application("guard", `,"grants":[{"resource":"iam/users","action":"revoke_tokens"}]`)
	before := w.epochOf("user", ada)
	w.as("application:guard").del("/v1/users/" + ada + "/tokens").is(204)
	equal(t, "epoch", w.epochOf("user", ada), before+1)
	equal(t, "ended", w.sessions.list(), "all of "+ada)
	// Whoever can end an owner's tokens at will keeps the owner out.
	w.as("application:guard").del("/v1/users/" + boss + "/tokens").refused("delegation_exceeds_actor")
	equal(t, "epoch of the owner", w.epochOf("user", boss), 0)
	w.as("user:boss").del("/v1/users/" + boss + "/tokens").is(204) // of oneself: no lockout, one logs in again
	w.root().del("/v1/users/" + someID + "/tokens").is(404)
	w.root().del("/v1/users/ada/tokens").is(400)
	tag := w.root().get("/v1/users/" + ada).is(200).header.Get("Etag")
	w.root().with("If-Match", `"stale"`).del("/v1/users/" + ada + "/tokens").is(412)
	w.root().with("If-Match", tag).del("/v1/users/" + ada + "/tokens").is(204)
	w.audited("iam/users:revoke_tokens", "users/"+ada)
}

func TestRevokingTheTokensOfAnApplication(t *testing.T) {
	w := newWorld(t)
	secret := w.application("billing", "")
	record := &storage.Session{Subject: w.user("ada", ""), Client: "billing", LastUsedAt: start(), ExpiresAt: start().AddDate(0, 0, 1)}
	record.ID = "through-billing"
	must(t, w.store.Insert(t.Context(), record))
	w.application("guard", `,"grants":[{"resource":"iam/applications","action":"revoke_tokens"}]`)
	before := w.epochOf("application", "billing")
	w.as("application:guard").del("/v1/applications/billing/tokens").is(204)
	equal(t, "epoch", w.epochOf("application", "billing"), before+1)
	w.works("billing", secret, true)
	if body := w.root().get("/v1/sessions").is(200).body; !strings.Contains(body, `"revoked":true`) {
		t.Fatal("a session whose tokens are dead looks alive: ", body)
	}
	w.as("application:guard").del("/v1/applications/root/tokens").refused("system_protected")
	w.root().del("/v1/applications/root/tokens").is(204) // protected, but what leaked must be revocable
	w.root().del("/v1/applications/none/tokens").is(404)
	w.audited("iam/applications:revoke_tokens", "applications/billing")
}

func TestRevokingEveryToken(t *testing.T) {
	w := newWorld(t)
	record := &storage.Session{Subject: w.user("ada", ""), Client: "root", LastUsedAt: start(), ExpiresAt: start().AddDate(0, 0, 1)}
	record.ID = "s1"
	must(t, w.store.Insert(t.Context(), record))
	w.application("guard", `,"grants":[{"tenant":"*","resource":"tokens","action":"*"},{"tenant":"*","resource":"tokens","action":"revoke_all"}]`)
	w.as("application:guard").del("/v1/tokens").refused("root_only")
	w.as("application:root,scope=tokens:revoke_all").del("/v1/tokens").refused("root_only")
	w.as("application:root,scope=*:*").del("/v1/tokens").refused("insufficient_scope")
	equal(t, "epoch", w.room.GlobalEpoch(), 0)
	if body := w.root().get("/v1/sessions").is(200).body; strings.Contains(body, `"revoked"`) {
		t.Fatal(body)
	}
	w.root().del("/v1/tokens").is(204)
	equal(t, "epoch", w.room.GlobalEpoch(), start().UnixMilli())
	w.root().del("/v1/tokens").is(204)
	equal(t, "epoch", w.room.GlobalEpoch(), start().UnixMilli()+1)
	if body := w.root().get("/v1/sessions").is(200).body; !strings.Contains(body, `"revoked":true`) {
		t.Fatal(body)
	}
	w.audited("tokens:revoke_all", "tokens")
	w.open()
	equal(t, "epoch after a restart", w.room.GlobalEpoch(), start().UnixMilli()+1)
}

// audited fails unless an action on a target has an intent in the node's chain and its outcome in the authority's.
func (w *world) audited(action, target string) {
	w.t.Helper()
	for chain, event := range map[string]string{w.room.Chain(): "intent", identity.AuthorityChain: "outcome"} {
		if !slices.ContainsFunc(w.chain(chain), func(e *storage.AuditEntry) bool {
			return e.Event == event && e.Action == action && e.Target == target && e.DecisionID != ""
		}) {
			w.t.Fatalf("%s of %s has no %s", action, target, event)
		}
	}
}

func TestAnOwnerLearnsTheExplicitActionsOfALaterVersion(t *testing.T) {
	w := newWorld(t)
	role, err := storage.Get[storage.Role](t.Context(), w.store, "system:owner")
	must(t, err)
	full := len(role.Grants)
	role.Grants = role.Grants[:1] // as a version without explicit actions made it
	role.Grants = append(role.Grants, storage.Grant{Tenant: "*", Resource: "app/of/another/node", Action: "explicit"})
	must(t, w.store.Txn(t.Context(), func(ctx context.Context, tx storage.Tx) error {
		sequence, err := tx.Sequence(ctx)
		if err != nil {
			return err
		}
		return errors.Join(tx.Advance(ctx, sequence), tx.Update(ctx, role))
	}))
	w.open()
	for range 2 {
		_, err = w.room.Bootstrap(t.Context(), "")
		must(t, err)
	}
	role, err = storage.Get[storage.Role](t.Context(), w.store, "system:owner")
	must(t, err)
	equal(t, "grants", len(role.Grants), full+1)
	w.root().del("/v1/tokens").is(204)
}
