package identity

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

// secretFields is what may be said of a new secret.
type secretFields struct {
	Label     string     `json:"label"`
	NotBefore *time.Time `json:"not_before"`
	ExpiresAt *time.Time `json:"expires_at"`
}

// secretValue is a secret in the one reply that made it.
type secretValue struct {
	ID    string `json:"id"`
	Value string `json:"value"`
}

// secretView is a secret as lists show it, without its value.
type secretView struct {
	ID          string     `json:"id"`
	Value       string     `json:"value,omitempty"` // in the one reply that made it
	Label       string     `json:"label"`
	CreatedAt   time.Time  `json:"created_at"`
	NotBefore   *time.Time `json:"not_before,omitempty"`
	ExpiresAt   *time.Time `json:"expires_at,omitempty"`
	LastUsedAt  *time.Time `json:"last_used_at,omitempty"`
	RevokedAt   *time.Time `json:"revoked_at,omitempty"`
	Retrievable bool       `json:"retrievable"`
}

func viewSecret(a *storage.Application, s storage.Secret) secretView {
	return secretView{
		ID: s.ID, Label: s.Label, CreatedAt: s.CreatedAt, NotBefore: s.NotBefore, ExpiresAt: s.ExpiresAt, RevokedAt: s.RevokedAt,
		Retrievable: s.Sealed && a.Retrievable && s.RevokedAt == nil,
	}
}

// newSecret is a secret on its way into an application.
type newSecret struct {
	value  string
	record storage.Secret
	sealed *storage.SealedSecret // nil where it cannot be revealed
}

func (n *newSecret) keep(ctx context.Context, tx storage.Tx) error {
	if n.sealed == nil {
		return nil
	}
	return tx.Insert(ctx, n.sealed)
}

func secretID(rand io.Reader) (string, error) {
	id, err := uuid.NewV7FromReader(rand)
	if err != nil {
		return "", fmt.Errorf("make an id: %w", err)
	}
	return "s" + strings.ReplaceAll(id.String(), "-", ""), nil
}

func (r *Room) newSecret(application string, retrievable bool, f secretFields, now time.Time) (*newSecret, error) {
	value, err := makeSecret(r.config.Rand)
	if err != nil {
		return nil, err
	}
	id, err := secretID(r.config.Rand)
	if err != nil {
		return nil, err
	}
	n := &newSecret{value: value, record: storage.Secret{
		ID: id, Verifier: shaOf(value), Label: f.Label, CreatedAt: storage.Time(now), NotBefore: f.NotBefore, ExpiresAt: f.ExpiresAt,
	}}
	if retrievable && !r.config.HashOnly {
		sealed, err := r.config.Sealer.Seal([]byte(value), sealedContext(application, id))
		if err != nil {
			return nil, fmt.Errorf("seal a secret: %w", err)
		}
		n.record.Sealed = true
		n.sealed = &storage.SealedSecret{Sealed: sealed}
		n.sealed.ID = application + "/" + id
	}
	return n, nil
}

// choose puts a secret that the caller chose in the place of all others of an application, and reports whether there is one. Its slow
// hash is made once the change is permitted.
func (r *Room) choose(req *enforce.Request, w *write, secret enforce.Field[string], next *storage.Application) (bool, error) {
	if !secret.Set {
		return false, nil
	}
	id, err := secretID(r.config.Rand)
	if err != nil {
		return false, err
	}
	for _, s := range next.Secrets {
		revoke(next, s.ID, storage.Time(req.Now))
	}
	at := len(next.Secrets)
	next.Secrets = append(slices.Clone(next.Secrets), storage.Secret{
		ID: id, Verifier: unmade, Label: "chosen", CreatedAt: storage.Time(req.Now),
	})
	if w.late == nil && !hasSecret(next) {
		w.late = enforce.BadRequest("bad_secret", "/secret", "this application does not prove itself with a secret")
	}
	w.prepare = func(ctx context.Context) error {
		made, err := once(req, "", func() (madePassword, error) {
			if err := r.acceptSecret(secret.Value, "/secret", next, req.Caller.ClientID); err != nil {
				return madePassword{}, err
			}
			return r.makeChosen(ctx, secret.Value, storage.Password{})
		})
		next.Secrets[at].Verifier = made.state.Verifier
		return err
	}
	return true, nil
}

// acceptSecret holds a chosen secret against the rules for passwords: it is one, of a machine.
func (r *Room) acceptSecret(secret, pointer string, a *storage.Application, client string) error {
	if strings.HasPrefix(secret, secretPrefix) {
		return enforce.BadRequest("bad_secret", pointer, "what begins with "+secretPrefix+" is made by the server; choose another")
	}
	named := &storage.User{UsernameKey: strings.ToLower(a.ID)}
	named.Name, named.Tenant = a.Name, a.Tenant
	_, err := r.acceptPassword(secret, pointer, named, client)
	return err
}

// askChosen adds to the question of a change that a secret is chosen.
func (r *Room) askChosen(req *enforce.Request, w *write, before, after *storage.Application) {
	changes, denied := &w.question.Resource.Changes, w.denied
	*changes = append(*changes, "chosen_secret")
	w.denied = func(d policies.Decision) error {
		for _, reason := range d.Reasons {
			if reason.Code == "secret_not_chosen" && len(d.Reasons) == 1 {
				return &denial{decision: d, reasons: d.Reasons, pointer: "/secret"} // the body is what is wrong
			}
		}
		if denied == nil {
			return nil
		}
		return denied(d)
	}
	if before == nil {
		return
	}
	*changes = append(*changes, "secrets")
	w.detail.Secrets = &secretsDetail{
		Needed: hasSecret(after), UsableBefore: liveSecrets(before, req.Now), UsableAfter: liveSecrets(after, req.Now),
	}
}

// dropSealed removes the sealed copies of those secrets for which which holds, and says so in the record.
func dropSealed(ctx context.Context, tx storage.Tx, a *storage.Application, which func(storage.Secret) bool) error {
	a.Secrets = slices.Clone(a.Secrets)
	for i, s := range a.Secrets {
		if !s.Sealed || !which(s) {
			continue
		}
		a.Secrets[i].Sealed = false
		sealed, err := storage.Get[storage.SealedSecret](ctx, tx, a.ID+"/"+s.ID)
		if errors.Is(err, storage.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if err := tx.Delete(ctx, storage.SealedSecretKind, sealed.ID, sealed.Version); err != nil {
			return err
		}
	}
	return nil
}

func (r *Room) listSecrets(ctx context.Context, req *enforce.Request) (enforce.Resolved, error) {
	resolved, err := r.readApplication(req, func(a *storage.Application) any { return a })
	if err != nil {
		return enforce.Resolved{}, err
	}
	respond := resolved.Respond
	resolved.Respond = func(ctx context.Context, d policies.Decision) (enforce.Reply, error) {
		reply, err := respond(ctx, d)
		a, ok := reply.Body.(*storage.Application)
		if err != nil || !ok {
			return reply, err
		}
		shown := page[secretView]{Items: make([]secretView, 0, len(a.Secrets))}
		for _, s := range a.Secrets {
			item := viewSecret(a, s)
			use, err := storage.Get[storage.SecretUse](ctx, r.store, a.ID+"/"+s.ID)
			switch {
			case err == nil:
				item.LastUsedAt = &use.LastUsedAt
			case !errors.Is(err, storage.ErrNotFound):
				return enforce.Reply{}, fmt.Errorf("read the last use of a secret: %w", err)
			}
			shown.Items = append(shown.Items, item)
		}
		reply.Body = shown
		return reply, nil
	}
	return resolved, nil
}

func (r *Room) postSecret(ctx context.Context, req *enforce.Request) (enforce.Resolved, error) {
	var in secretFields
	if err := req.Decode(&in); err != nil {
		return enforce.Resolved{}, err
	}
	if err := in.check(storage.Time(req.Now)); err != nil {
		return enforce.Resolved{}, err
	}
	id := req.Params["id"]
	w, v, current, err := r.presentApplication(ctx, req, id, "create_secret")
	if err != nil || current == nil {
		return r.changeOr(req, w, err)
	}
	fresh, err := r.newSecret(id, current.Retrievable, in, req.Now)
	if err != nil {
		return enforce.Resolved{}, err
	}
	next := *current
	next.Secrets = append(slices.Clone(current.Secrets), fresh.record)
	r.askSecrets(req, w, v, current, &next)
	live := 0
	for _, s := range current.Secrets {
		if s.RevokedAt == nil {
			live++
		}
	}
	if live >= maxSecrets {
		w.late = conflictError("too_many_secrets", "", fmt.Sprintf("an application has at most %d secrets; delete one first", maxSecrets))
	}
	w.apply = func(ctx context.Context, tx storage.Tx) error {
		if err := fresh.keep(ctx, tx); err != nil {
			return err
		}
		return tx.Update(ctx, &next)
	}
	w.reply = func() enforce.Reply {
		shown := viewSecret(&next, fresh.record)
		shown.Value = fresh.value
		return noStore(created(applicationsPath+id+"/secrets/"+fresh.record.ID, next.Meta, shown))
	}
	return r.change(req, w), nil
}

// check holds a new secret's window against the rules for windows.
func (f *secretFields) check(now time.Time) error {
	if err := checkText(f.Label, "/label", maxName); err != nil {
		return err
	}
	for _, at := range []**time.Time{&f.NotBefore, &f.ExpiresAt} {
		if *at != nil {
			rounded := storage.Time(**at)
			*at = &rounded
		}
	}
	switch {
	case f.ExpiresAt != nil && !f.ExpiresAt.After(now):
		return enforce.BadRequest("bad_window", "/expires_at", "expires_at is in the past")
	case f.ExpiresAt != nil && f.NotBefore != nil && !f.ExpiresAt.After(*f.NotBefore):
		return enforce.BadRequest("bad_window", "/expires_at", "expires_at must be later than not_before")
	}
	return nil
}

// askSecrets fills the question of a change of secrets alone.
func (r *Room) askSecrets(req *enforce.Request, w *write, v view, before, after *storage.Application) {
	r.askApplication(req, w, v, before, after, false)
	w.question.Resource.Changes = []string{"secrets"}
	w.detail.Secrets = &secretsDetail{
		Needed: hasSecret(after), UsableBefore: liveSecrets(before, req.Now), UsableAfter: liveSecrets(after, req.Now),
	}
}

// liveSecrets counts the secrets that work now.
func liveSecrets(a *storage.Application, now time.Time) (n int) {
	for _, s := range a.Secrets {
		if secretLive(s, now) {
			n++
		}
	}
	return n
}

func (r *Room) deleteSecret(ctx context.Context, req *enforce.Request) (enforce.Resolved, error) {
	id, sid := req.Params["id"], req.Params["sid"]
	force, err := forced(req)
	if err != nil {
		return enforce.Resolved{}, err
	}
	w, v, current, err := r.presentApplication(ctx, req, id, "revoke_secret")
	if err != nil || current == nil {
		return r.changeOr(req, w, err)
	}
	w.target += "/secrets/" + sid
	next := *current
	found := revoke(&next, sid, storage.Time(req.Now))
	r.askSecrets(req, w, v, current, &next)
	w.detail.Secrets.Forced = force
	if !found {
		w.late = notFound()
	}
	w.apply = func(ctx context.Context, tx storage.Tx) error {
		if err := dropSealed(ctx, tx, &next, func(s storage.Secret) bool { return s.RevokedAt != nil }); err != nil {
			return err
		}
		return tx.Update(ctx, &next)
	}
	w.reply = noContent
	return r.change(req, w), nil
}

// revoke marks a live secret as revoked, so that its tokens are dead, and forgets the oldest of many revoked ones. It reports
// whether there was one.
func revoke(a *storage.Application, sid string, now time.Time) bool {
	found, revoked := false, 0
	secrets := slices.Clone(a.Secrets)
	for i := range secrets {
		if secrets[i].ID == sid && secrets[i].RevokedAt == nil {
			secrets[i].RevokedAt, found = &now, true
		}
		if secrets[i].RevokedAt != nil {
			revoked++
		}
	}
	a.Secrets = slices.DeleteFunc(secrets, func(s storage.Secret) bool {
		if s.RevokedAt == nil || s.ID == sid || revoked <= keptRevoked || s.Sealed {
			return false
		}
		revoked--
		return true
	})
	return found
}
