package identity

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

// meFields is what anybody may try to change of the own identity; which of them one may is said in policy data. Fields that are
// never one's own are unknown here.
type meFields struct {
	Name       enforce.Field[string]          `json:"name"`
	Properties enforce.Field[json.RawMessage] `json:"properties"`
	Grants     enforce.Field[[]grantFields]   `json:"grants"`
	NotBefore  enforce.Field[time.Time]       `json:"not_before"`
	NotAfter   enforce.Field[time.Time]       `json:"not_after"`
}

type meUser struct {
	meFields
	SuspendedAt enforce.Field[time.Time] `json:"suspended_at"`
}

type meApplication struct {
	meFields
	Description enforce.Field[string] `json:"description"`
	IsActive    enforce.Field[bool]   `json:"is_active"`
	// Secret is one that the application chooses, where policy data lets it.
	Secret enforce.Field[string] `json:"secret"`
}

// passwordFields replaces the caller's password, ownSecretFields the secret of an application that calls.
type passwordFields struct {
	Current enforce.Field[string] `json:"current_password"`
	New     string                `json:"new_password"`
}

type ownSecretFields struct {
	Current enforce.Field[string] `json:"current_secret"`
}

func (f *meFields) identity() identityFields {
	return identityFields{Name: f.Name, Properties: f.Properties, Grants: f.Grants, NotBefore: f.NotBefore, NotAfter: f.NotAfter}
}

// meView is the caller as it sees itself: its own record, and what its token lets it be.
type meView struct {
	Type        string           `json:"type"`
	ID          string           `json:"id"`
	ClientID    string           `json:"client_id"`
	Scope       *string          `json:"scope"` // null where no token limits the rights
	Tenant      string           `json:"token_tenant,omitempty"`
	ExpiresAt   *time.Time       `json:"token_expires_at,omitempty"`
	User        *userView        `json:"user,omitempty"`
	Application *applicationView `json:"application,omitempty"`
	Permissions []permissionView `json:"permissions"`
}

// own is the caller's stored identity at the sequence of begin, or storage.ErrNotFound where it has none here.
func (r *Room) own(ctx context.Context, req *enforce.Request) (*storage.User, *storage.Application, error) {
	switch {
	case !req.Caller.Facts.Identity().Exists:
		// A name that another issuer gave, and nobody's here.
	case req.Caller.Type == kindUser:
		u, err := r.storedUser(ctx, req.Caller.ID)
		if err != nil {
			return nil, nil, fmt.Errorf("read the caller: %w", err)
		}
		return u, nil, nil
	case req.Caller.Type == kindApplication:
		if e := r.directory.application(req.Caller.ID); e != nil {
			return nil, e.application, nil
		}
	}
	return nil, nil, nil
}

// oneself is the question about the caller's own identity.
func oneself(v view, req *enforce.Request) policies.Question {
	facts := req.Caller.Facts.Identity()
	q := policies.Question{Resource: resource(v, req.Caller.ID, storage.TenantID(facts.Tenant), facts.Exists)}
	q.Resource.Self = true
	q.Resource.AfterDetail = changeDetail{Conditional: true}.json() // of what has a version, change says more
	return q
}

func (r *Room) getMe(ctx context.Context, req *enforce.Request) (enforce.Resolved, error) {
	user, application, err := r.own(ctx, req)
	if err != nil {
		return enforce.Resolved{}, err
	}
	var m storage.Meta
	switch {
	case user != nil:
		m = user.Meta
	case application != nil:
		m = application.Meta
	}
	return readObject(req, oneself(standing{r.directory}, req), m, func() any { return viewMe(req.Caller, user, application) })
}

// viewMe shows a caller itself; the permissions are those that its token was resolved with.
func viewMe(caller *enforce.Caller, user *storage.User, application *storage.Application) meView {
	shown := meView{
		Type: caller.Type, ID: caller.ID, ClientID: caller.ClientID, Tenant: caller.Tenant,
		Permissions: viewPermissions(caller.Facts.Identity().Grants),
	}
	if caller.Scoped {
		shown.Scope = &caller.Scope
	}
	if !caller.ExpiresAt.IsZero() {
		shown.ExpiresAt = &caller.ExpiresAt
	}
	switch {
	case user != nil:
		u := viewUser(user)
		shown.User = &u
	case application != nil:
		a := viewApplication(application)
		shown.Application = &a
	}
	return shown
}

func (r *Room) putMe(ctx context.Context, req *enforce.Request) (enforce.Resolved, error) {
	var user meUser
	var application meApplication
	var into any = &application
	if req.Caller.Type == kindUser {
		into = &user
	}
	if err := req.Decode(into); err != nil {
		return enforce.Resolved{}, err
	}
	condition, err := preconditionOf(req.HTTP.Header)
	if err != nil {
		return enforce.Resolved{}, err
	}
	sequence, err := r.begin(ctx, req)
	if err != nil {
		return enforce.Resolved{}, err
	}
	v := standing{r.directory}
	w := &write{sequence: sequence, condition: condition, action: "me:write", target: req.Caller.Type + "s/" + req.Caller.ID}
	w.question = oneself(v, req)
	u, a, err := r.own(ctx, req)
	check := r.checker(v, req.Now, saving{}, false)
	switch {
	case err != nil:
		return enforce.Resolved{}, err
	case u != nil:
		next := *u
		check.user(&userFields{identityFields: user.identity(), SuspendedAt: user.SuspendedAt}, &next)
		raiseUserEpoch(u, &next)
		w.version, w.meta = u.Version, u.Meta
		w.question.Resource.Before, w.question.Resource.After = policies.NewFacts(userFacts(v, u)), policies.NewFacts(userFacts(v, &next))
		w.question.Resource.Changes = userChanges(u, &next)
		if err := r.countOwners(ctx, &w.question, v, v, req.Now, u.ID); err != nil {
			return enforce.Resolved{}, err
		}
		w.apply = func(ctx context.Context, tx storage.Tx) error { return tx.Update(ctx, &next) }
		w.reply = func() enforce.Reply { return saved(next.Meta, viewMe(req.Caller, &next, nil)) }
	case a != nil:
		next := *a
		fields := applicationFields{
			identityFields: application.identity(), Description: application.Description, IsActive: application.IsActive,
		}
		check.application(&fields, &next, r.config.MaxTokenLifetime)
		raiseApplicationEpoch(a, &next)
		w.version, w.meta = a.Version, a.Meta
		w.late = check.late
		chosen, err := r.choose(req, w, application.Secret, &next)
		if err != nil {
			return enforce.Resolved{}, err
		}
		check.late = w.late
		r.askApplication(req, w, v, a, &next, false)
		if chosen {
			r.askChosen(req, w, a, &next)
			if req.Caller.Basic {
				w.question.Resource.Proof = "secret"
			}
		}
		w.apply = func(ctx context.Context, tx storage.Tx) error {
			if chosen {
				if err := dropSealed(ctx, tx, &next, func(s storage.Secret) bool { return s.RevokedAt != nil }); err != nil {
					return err
				}
			}
			return tx.Update(ctx, &next)
		}
		w.reply = func() enforce.Reply { return saved(next.Meta, viewMe(req.Caller, nil, &next)) }
	}
	changes := &w.question.Resource.Changes
	if (application.IsActive.Set || user.SuspendedAt.Set) && !slices.Contains(*changes, "status") {
		*changes = append(*changes, "status") // one's own status is not one's to name, even as it is
	}
	if len(*changes) == 0 {
		*changes = []string{"name"} // nothing changes; the least that a PUT touches
	}
	w.late = check.late
	if check.err != nil {
		return enforce.Resolved{}, check.err
	}
	return r.change(req, w), nil
}

// postMePassword replaces the caller's own password, or the secret of an application.
func (r *Room) postMePassword(ctx context.Context, req *enforce.Request) (enforce.Resolved, error) {
	if req.Caller.Type == kindUser {
		return r.replacePassword(ctx, req)
	}
	return r.replaceSecret(ctx, req)
}

func (r *Room) replacePassword(ctx context.Context, req *enforce.Request) (enforce.Resolved, error) {
	var in passwordFields
	if err := req.Decode(&in); err != nil {
		return enforce.Resolved{}, err
	}
	before, _, err := r.own(ctx, req)
	if err != nil {
		return enforce.Resolved{}, err
	}
	proof := "none"
	if before == nil {
		before = &storage.User{} // nobody here has no password to prove, though the name may be somebody's
	} else if proof, err = r.provePassword(ctx, req, before, in.Current); err != nil {
		// The slow hash comes before the sequence is read: a change that waits for it would be decided on a state that has moved.
		return enforce.Resolved{}, err
	}
	sequence, err := r.begin(ctx, req)
	if err != nil {
		return enforce.Resolved{}, err
	}
	v := standing{r.directory}
	w := &write{sequence: sequence, action: "me:password", target: "users/" + req.Caller.ID}
	w.question = oneself(v, req)
	w.question.Resource.Changes = []string{"password"}
	w.question.Resource.Proof = proof
	current, _, err := r.own(ctx, req)
	if err != nil {
		return enforce.Resolved{}, err
	}
	if current == nil {
		return r.change(req, w), nil
	}
	if current.Password.Verifier != before.Password.Verifier {
		return enforce.Resolved{}, fmt.Errorf("the password changed meanwhile: %w", enforce.ErrRetry)
	}
	next := *current
	next.Password = chosenState(req.Now)
	next.Epoch++
	w.prepare = func(ctx context.Context) error {
		state := next.Password
		made, err := once(req, current.Password.Verifier, func() (madePassword, error) {
			return r.anotherPassword(ctx, req, current, in.New, state)
		})
		next.Password = made.state
		return err
	}
	w.version, w.meta = current.Version, current.Meta
	w.question.Resource.Before = policies.NewFacts(userFacts(v, current))
	w.question.Resource.After = policies.NewFacts(userFacts(v, &next))
	kept, err := r.keptSession(ctx, req.Caller.SID, current)
	if err != nil {
		return enforce.Resolved{}, err
	}
	w.apply = func(ctx context.Context, tx storage.Tx) error {
		if err := tx.Update(ctx, &next); err != nil || kept == nil {
			return err
		}
		kept.Since.Identity = next.Epoch
		return tx.Update(ctx, kept)
	}
	w.after = func(ctx context.Context) error {
		except := ""
		if kept != nil {
			except = kept.ID
		}
		r.endSessions(ctx, current.ID, except)
		return nil
	}
	w.reply = noContent
	return r.change(req, w), nil
}

// provePassword says how the present password was proved. A wrong one is a 400.
func (r *Room) provePassword(ctx context.Context, req *enforce.Request, u *storage.User, current enforce.Field[string]) (string, error) {
	if !given(current) {
		return "none", nil
	}
	attempt, err := r.people.admit(u.UsernameKey, current.Value, req.Caller.Address)
	if err != nil {
		return "", err
	}
	defer attempt.done()
	ok, err := r.verifyPassword(ctx, u.Password.Verifier, current.Value)
	if err != nil {
		return "", err
	}
	if !ok {
		if attempt.failed() {
			r.logins.failed(ctx, "me:password", u, attempt.name(), faultWrong)
		}
		return "", enforce.BadRequest("wrong_password", "/current_password", "this is not the present password")
	}
	attempt.succeeded()
	return "password", nil
}

// anotherPassword makes the new password of a user who may replace it. One that is the old one would leave a temporary password in use;
// that is told to nobody else, because it says whether a guess is right.
func (r *Room) anotherPassword(
	ctx context.Context, req *enforce.Request, u *storage.User, fresh string, state storage.Password,
) (madePassword, error) {
	normal, err := r.acceptPassword(fresh, "/new_password", u, req.Caller.ClientID)
	if err != nil {
		return madePassword{}, err
	}
	same, err := r.verifyPassword(ctx, u.Password.Verifier, normal)
	if err != nil {
		return madePassword{}, err
	}
	if same {
		return madePassword{}, enforce.BadRequest("same_password", "/new_password", "this is the present password; choose another")
	}
	return r.makeChosen(ctx, normal, state)
}

// replaceSecret revokes the secret that the caller proved, or authenticated with, and answers with a new one.
func (r *Room) replaceSecret(ctx context.Context, req *enforce.Request) (enforce.Resolved, error) {
	var in ownSecretFields
	if err := req.Decode(&in); err != nil {
		return enforce.Resolved{}, err
	}
	sequence, err := r.begin(ctx, req)
	if err != nil {
		return enforce.Resolved{}, err
	}
	v := standing{r.directory}
	w := &write{sequence: sequence, action: "me:password", target: "applications/" + req.Caller.ID}
	w.question = oneself(v, req)
	_, current, err := r.own(ctx, req)
	if err != nil {
		return enforce.Resolved{}, err
	}
	if current == nil {
		return r.change(req, w), nil
	}
	proof, old, err := r.proveSecret(ctx, req, current, in.Current)
	if err != nil {
		return enforce.Resolved{}, err
	}
	fresh, err := r.newSecret(current.ID, current.Retrievable, succeeding(current, old), req.Now)
	if err != nil {
		return enforce.Resolved{}, err
	}
	next := *current
	next.Secrets = append(slices.Clone(current.Secrets), fresh.record)
	revoke(&next, old, storage.Time(req.Now))
	w.version, w.meta = current.Version, current.Meta
	r.askSecrets(req, w, v, current, &next)
	w.question.Resource.Proof = proof
	if !hasSecret(current) {
		w.late = conflictError("no_secret", "", "this application does not prove itself with a secret")
	}
	w.apply = func(ctx context.Context, tx storage.Tx) error {
		if err := fresh.keep(ctx, tx); err != nil {
			return err
		}
		if err := dropSealed(ctx, tx, &next, func(s storage.Secret) bool { return s.RevokedAt != nil }); err != nil {
			return err
		}
		return tx.Update(ctx, &next)
	}
	w.reply = func() enforce.Reply {
		shown := viewSecret(&next, fresh.record)
		shown.Value = fresh.value
		return noStore(saved(next.Meta, shown))
	}
	return r.change(req, w), nil
}

// proveSecret says how the present secret was proved, and which one is to be replaced.
func (r *Room) proveSecret(
	ctx context.Context, req *enforce.Request, a *storage.Application, current enforce.Field[string],
) (proof, id string, err error) {
	if current.Set && !current.Null {
		id, ok, err := r.Verify(ctx, req.Caller.Address, a.ID, a, current.Value)
		if err != nil {
			return "", "", err
		}
		if !ok {
			return "", "", enforce.BadRequest("wrong_secret", "/current_secret", "this is not a present secret")
		}
		return "secret", id, nil
	}
	if req.Caller.Basic {
		return "secret", req.Caller.SecretID, nil
	}
	return "none", req.Caller.SecretID, nil
}

// succeeding is what a secret keeps of the one that it replaces: whoever limited that one limited what its holder can make of it.
func succeeding(a *storage.Application, sid string) secretFields {
	for _, s := range a.Secrets {
		if s.ID == sid {
			return secretFields{Label: s.Label, ExpiresAt: s.ExpiresAt}
		}
	}
	return secretFields{}
}

func (r *Room) listMySessions(_ context.Context, req *enforce.Request) (enforce.Resolved, error) {
	l, err := r.listing(req, "me/sessions", storage.SessionKind, "ended")
	if err != nil {
		return enforce.Resolved{}, err
	}
	l.query.Equal["subject"] = []string{req.Caller.ID}
	l.bound["subject"] = req.Caller.ID
	return enforce.Resolved{
		Question: oneself(standing{r.directory}, req),
		Respond: func(ctx context.Context, _ policies.Decision) (enforce.Reply, error) {
			return scan(ctx, r, l, nil, r.viewSession, func(*storage.Session) (bool, error) { return true, nil })
		},
	}, nil
}

func (r *Room) endMySession(ctx context.Context, req *enforce.Request) (enforce.Resolved, error) {
	resolved, err := r.endOne(ctx, req, func(s *storage.Session) bool {
		return s.Subject == req.Caller.ID
	}, "me:sessions", storage.EndSignOut)
	resolved.Question = oneself(standing{r.directory}, req) // another's session is none of one's own: 404
	return resolved, err
}

// endMySessions ends all of one's own sessions, or with others=true all but that of the token.
func (r *Room) endMySessions(_ context.Context, req *enforce.Request) (enforce.Resolved, error) {
	others, err := flag(req, "others")
	if err != nil {
		return enforce.Resolved{}, err
	}
	except := ""
	if others {
		except = req.Caller.SID
	}
	return r.ending(req, oneself(standing{r.directory}, req), "me:sessions", "subjects/"+req.Caller.ID, func(ctx context.Context) error {
		_, err := r.ender().EndSessions(ctx, req.Caller.ID, except, storage.EndSignOut)
		return err
	}), nil
}
