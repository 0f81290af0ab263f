package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

const usersPath = "/v1/users/"

// userFields is what may be written of a user. The password, or the verifier that a user brings from elsewhere, is for creation;
// afterwards the password has routes of its own.
type userFields struct {
	identityFields
	Username    enforce.Field[string]    `json:"username"`
	Email       enforce.Field[string]    `json:"email"`
	SuspendedAt enforce.Field[time.Time] `json:"suspended_at"`
	Password    enforce.Field[string]    `json:"password"`
	// PasswordHash is in the place of a password: see parseVerifier.
	PasswordHash enforce.Field[string] `json:"password_hash"`
}

type userPut struct {
	ID enforce.Field[string] `json:"id"`
	userFields
}

// userView is a user as replies show it.
type userView struct {
	ID          string            `json:"id"`
	Username    string            `json:"username"`
	Email       string            `json:"email"`
	Name        string            `json:"name"`
	Tenant      storage.TenantID  `json:"tenant,omitempty"`
	Groups      []storage.GroupID `json:"groups"`
	Roles       []storage.RoleKey `json:"roles"`
	Grants      []grantFields     `json:"grants"`
	NotBefore   *time.Time        `json:"not_before,omitempty"`
	NotAfter    *time.Time        `json:"not_after,omitempty"`
	Addresses   []string          `json:"addresses,omitempty"`
	Properties  json.RawMessage   `json:"properties"`
	Attributes  json.RawMessage   `json:"attributes"`
	SuspendedAt *time.Time        `json:"suspended_at,omitempty"`
	Password    passwordView      `json:"password"`
	Protected   bool              `json:"protected"`
	CreatedAt   time.Time         `json:"created_at"`
	UpdatedAt   time.Time         `json:"updated_at"`
	Version     int64             `json:"version"`
	// TemporaryPassword is in the one reply that made it.
	TemporaryPassword string `json:"temporary_password,omitempty"`
}

type passwordView struct {
	Set       bool       `json:"set"`
	Temporary bool       `json:"temporary"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
	ChangedAt *time.Time `json:"changed_at,omitempty"`
}

// resetFields is what may be said when a password is reset: nothing, or what it is to be.
type resetFields struct {
	Password enforce.Field[string] `json:"password"`
}

// temporaryPasswordView is a temporary password in the one reply that made it; one that the administrator chose is not said again.
type temporaryPasswordView struct {
	TemporaryPassword string     `json:"temporary_password,omitempty"`
	ExpiresAt         *time.Time `json:"expires_at"`
}

func viewUser(u *storage.User) userView {
	return userView{
		ID: u.ID, Username: u.Username, Email: u.Email, Name: u.Name, Tenant: u.Tenant, Groups: present(u.Groups), Roles: present(u.Roles),
		Grants: grantViews(u.Grants), NotBefore: u.NotBefore, NotAfter: u.NotAfter, Addresses: u.Addresses,
		Properties: free(u.Properties), Attributes: free(u.Attributes), SuspendedAt: u.SuspendedAt,
		Password: passwordView{
			Set: u.Password.Verifier != "", Temporary: u.Password.Temporary, ExpiresAt: u.Password.ExpiresAt, ChangedAt: u.Password.ChangedAt,
		},
		Protected: u.Protected, CreatedAt: u.CreatedAt, UpdatedAt: u.UpdatedAt, Version: u.Version,
	}
}

// storedUser reads a user from the store, nil where there is none.
func (r *Room) storedUser(ctx context.Context, id string) (*storage.User, error) {
	u, err := storage.Get[storage.User](ctx, r.store, id)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, nil
	}
	return u, err
}

func (r *Room) listUsers(_ context.Context, req *enforce.Request) (enforce.Resolved, error) {
	query, err := r.listing(req, "users", storage.UserKind,
		"role", "role_prefix", "group", "tenant", "suspended", "name_prefix", "email_prefix")
	if err != nil {
		return enforce.Resolved{}, err
	}
	return resolveList(r, req, query, func(u *storage.User) policies.Question { return r.askToReadUser(req, &entry{user: u}) }, viewUser)
}

// askToReadUser is the question whether a user may be read.
func (r *Room) askToReadUser(req *enforce.Request, e *entry) policies.Question {
	q := policies.Question{Resource: resource(standing{r.directory}, e.user.ID, e.user.Tenant, true)}
	q.Resource.Self = isCaller(req, kindUser, e.user.ID)
	q.Resource.Before = r.directory.subject(e).Facts
	return q
}

func (r *Room) getUser(ctx context.Context, req *enforce.Request) (enforce.Resolved, error) {
	id := req.Params["id"]
	if err := checkUserID(id, ""); err != nil {
		return enforce.Resolved{}, err
	}
	e, err := r.directory.user(ctx, id)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return enforce.Resolved{}, fmt.Errorf("read the user: %w", err)
	}
	v := standing{r.directory}
	if e == nil {
		return r.readMissing(req, v, id)
	}
	return readObject(req, r.askToReadUser(req, e), e.user.Meta, func() any { return viewUser(e.user) })
}

func (r *Room) postUser(ctx context.Context, req *enforce.Request) (enforce.Resolved, error) {
	var in userFields
	if err := req.Decode(&in); err != nil {
		return enforce.Resolved{}, err
	}
	id, err := uuid.NewV7FromReader(r.config.Rand)
	if err != nil {
		return enforce.Resolved{}, fmt.Errorf("make an id: %w", err)
	}
	return r.saveUser(ctx, req, id.String(), &in, saving{creates: true, only: true, unnamed: true, action: "create"})
}

func (r *Room) putUser(ctx context.Context, req *enforce.Request) (enforce.Resolved, error) {
	var in userPut
	id := req.Params["id"]
	if err := checkUserID(id, ""); err != nil {
		return enforce.Resolved{}, err
	}
	if err := req.Decode(&in); err != nil {
		return enforce.Resolved{}, err
	}
	if err := sameID(in.ID, id, "/id"); err != nil {
		return enforce.Resolved{}, err
	}
	return r.saveUser(ctx, req, id, &in.userFields, saving{creates: true, action: "put"})
}

func (r *Room) patchUser(ctx context.Context, req *enforce.Request) (enforce.Resolved, error) {
	var in userFields
	id := req.Params["id"]
	if err := checkUserID(id, ""); err != nil {
		return enforce.Resolved{}, err
	}
	if err := req.Decode(&in); err != nil {
		return enforce.Resolved{}, err
	}
	return r.saveUser(ctx, req, id, &in, saving{merge: true, action: "patch"})
}

// saving says how a body is meant: a POST only creates, a PUT creates what is missing, a PATCH merges into what is there.
type saving struct {
	creates bool
	only    bool
	unnamed bool // the server chose the id
	merge   bool
	action  string
}

// firstState is the state of the password of a user that is to be created. The password itself is made when that is permitted.
func (r *Room) firstState(in *userFields, now time.Time) storage.Password {
	if given(in.Password) || given(in.PasswordHash) {
		return chosenState(now)
	}
	return r.temporaryState(now)
}

func given(f enforce.Field[string]) bool { return f.Set && !f.Null }

// firstPassword makes that password.
func (r *Room) firstPassword(ctx context.Context, req *enforce.Request, in *userFields, u *storage.User) (madePassword, error) {
	switch {
	case given(in.PasswordHash):
		state, err := importedPassword(in, "", u.Password)
		return madePassword{state: state}, err
	case given(in.Password):
		normal, err := r.acceptPassword(in.Password.Value, "/password", u, req.Caller.ClientID)
		if err != nil {
			return madePassword{}, err
		}
		return r.makeChosen(ctx, normal, u.Password)
	}
	return r.makeTemporary(ctx, u.Password)
}

// importedPassword is the state of a user who keeps the password of another system, of which only a verifier is known. Its first use
// replaces it by one of ours, so rules for passwords are first met at the next change.
func importedPassword(in *userFields, base string, state storage.Password) (storage.Password, error) {
	if _, err := parseVerifier(in.PasswordHash.Value); err != nil || given(in.Password) {
		return storage.Password{}, enforce.BadRequest("malformed_hash", base+"/password_hash",
			"want an Argon2, bcrypt or PBKDF2 verifier within bounds, as the operations guide has them, and no password beside it")
	}
	state.Verifier = in.PasswordHash.Value
	return state, nil
}

// user carries fields into a record.
func (c *checker) user(f *userFields, u *storage.User) {
	c.required(f.Username, "/username", &u.Username)
	c.required(f.Email, "/email", &u.Email)
	var err error
	if f.Username.Set && c.err == nil {
		if u.UsernameKey, err = checkUsername(u.Username, c.base+"/username"); err != nil {
			c.fail(err)
		}
	}
	if f.Email.Set && c.err == nil {
		if u.EmailKey, err = checkEmail(u.Email, c.base+"/email"); err != nil {
			c.fail(err)
		}
	}
	c.text(f.Name, "/name", maxName, &u.Name)
	c.identity(&f.identityFields, &u.Identity)
	c.instant(f.SuspendedAt, &u.SuspendedAt)
	if u.SuspendedAt != nil && f.SuspendedAt.Set && u.SuspendedAt.After(c.now) {
		c.bad("bad_time", "/suspended_at", "a suspension begins now or earlier")
	}
}

func (r *Room) checker(v view, now time.Time, mode saving, creating bool) *checker {
	return &checker{
		view: v, catalogue: r.config.PDP.Catalogue(), now: storage.Time(now), merge: mode.merge, creating: creating, local: r.config.Local,
	}
}

func (r *Room) saveUser(ctx context.Context, req *enforce.Request, id string, in *userFields, mode saving) (enforce.Resolved, error) {
	condition, err := preconditionOf(req.HTTP.Header)
	if err != nil {
		return enforce.Resolved{}, err
	}
	sequence, err := r.begin(ctx, req)
	if err != nil {
		return enforce.Resolved{}, err
	}
	current, err := r.storedUser(ctx, id)
	if err != nil {
		return enforce.Resolved{}, fmt.Errorf("read the user: %w", err)
	}
	creating := current == nil
	v := standing{r.directory}
	next := &storage.User{}
	if current != nil {
		copied := *current
		next = &copied
	}
	next.ID = id
	check := r.checker(v, req.Now, mode, creating && mode.creates)
	check.user(in, next)
	if check.err != nil {
		return enforce.Resolved{}, check.err
	}
	if in.Password.Set && !creating {
		check.lateBad("not_here", "/password", "the password of a user that exists is reset at /v1/users/{id}/password/reset")
	}
	if in.PasswordHash.Set && !creating {
		check.lateBad("not_here", "/password_hash", "a verifier is for a user that does not exist yet")
	}
	w := &write{
		sequence: sequence, creates: mode.creates, unnamed: mode.unnamed, condition: condition, late: check.late,
		action: "iam/users:" + mode.action, target: "users/" + id, denied: tenantDenied(in.Tenant),
		detail: changeDetail{NamedTenant: in.Tenant.Value},
	}
	if creating && !mode.creates {
		w.question.Resource = resource(v, id, "", false)
		return r.change(req, w), nil
	}
	var tombstone *storage.Tombstone
	var first madePassword
	if creating {
		next.Password = r.firstState(in, req.Now)
		w.prepare = func(ctx context.Context) (err error) {
			first, err = once(req, "", func() (madePassword, error) { return r.firstPassword(ctx, req, in, next) })
			next.Password = first.state
			return err
		}
		if tombstone, err = r.tombstone(ctx, w.target); err != nil {
			return enforce.Resolved{}, err
		}
		if tombstone != nil {
			next.Epoch = tombstone.Epoch + 1
		}
	} else {
		w.version, w.meta = current.Version, current.Meta
		raiseUserEpoch(current, next)
	}
	if err := r.askUser(ctx, req, w, v, current, next, tombstone != nil); err != nil {
		return enforce.Resolved{}, err
	}
	w.apply = func(ctx context.Context, tx storage.Tx) error {
		return saveRecord(ctx, tx, next, creating, tombstone)
	}
	w.after = func(ctx context.Context) error {
		if creating {
			r.people.welcome(next.UsernameKey)
			return nil
		}
		if next.UsernameKey != current.UsernameKey {
			r.people.forget(current.UsernameKey)
			r.people.welcome(next.UsernameKey)
		}
		if next.Epoch != current.Epoch {
			r.endSessions(ctx, id, "")
		}
		return nil
	}
	w.reply = func() enforce.Reply {
		body := viewUser(next)
		if !creating {
			return saved(next.Meta, body)
		}
		body.TemporaryPassword = first.temporary
		return noStore(created(usersPath+id, next.Meta, body))
	}
	return r.change(req, w), nil
}

// raiseUserEpoch kills the tokens of a user that is suspended or moves to another tenant.
func raiseUserEpoch(before, after *storage.User) {
	if before.SuspendedAt == nil && after.SuspendedAt != nil || before.Tenant != after.Tenant {
		after.Epoch++
	}
}

// askUser fills the question of a change from one state of a user to another, either of which may be none.
func (r *Room) askUser(
	ctx context.Context, req *enforce.Request, w *write, v view, before, after *storage.User, tombstone bool,
) error {
	at := r.userQuestion(req, w, v, v, before, after, tombstone)
	if before == nil {
		return nil
	}
	return r.countOwners(ctx, &w.question, v, v, req.Now, at.ID)
}

// userQuestion is askUser over two views, of before and of after the change, without the count of owners.
func (r *Room) userQuestion(req *enforce.Request, w *write, was, is view, before, after *storage.User, tombstone bool) *storage.User {
	at := before
	if at == nil {
		at = after
	}
	q := &w.question
	q.Resource = resource(was, at.ID, at.Tenant, before != nil)
	q.Resource.Self = isCaller(req, kindUser, at.ID)
	if before != nil {
		q.Resource.Before = policies.NewFacts(userFacts(was, before))
	}
	if after != nil {
		q.Resource.After = policies.NewFacts(userFacts(imagined(is, after.Tenant), after))
	}
	q.Resource.Changes = userChanges(before, after)
	w.detail.Tombstone, w.detail.Anywhere = tombstone, after != nil && len(after.Addresses) == 0
	old, made := storage.User{}, storage.User{}
	if before != nil {
		old = *before
	}
	if after != nil {
		made = *after
	}
	w.detail.refer(is, old.Roles, made.Roles, old.Groups, made.Groups)
	return at
}

func userChanges(before, after *storage.User) []string {
	var d difference
	switch {
	case after == nil:
		return []string{"delete"}
	case before == nil:
		d.add("create", true)
		before = &storage.User{}
	}
	d.identity(&before.Identity, &after.Identity)
	d.add("username", before.Username != after.Username)
	d.add("email", before.Email != after.Email)
	d.add("status", !sameTime(before.SuspendedAt, after.SuspendedAt))
	d.add("password", before.Password.Verifier != after.Password.Verifier)
	return d.names
}

func (r *Room) deleteUser(ctx context.Context, req *enforce.Request) (enforce.Resolved, error) {
	id := req.Params["id"]
	w, v, current, err := r.presentUser(ctx, req, id, "iam/users:delete")
	if err != nil || current == nil {
		return r.changeOr(req, w, err)
	}
	w.deletes = true
	if err := r.askUser(ctx, req, w, v, current, nil, false); err != nil {
		return enforce.Resolved{}, err
	}
	w.apply = func(ctx context.Context, tx storage.Tx) error {
		return bury(ctx, tx, storage.UserKind, w.target, current.Meta, current.Epoch)
	}
	w.after = func(ctx context.Context) error {
		r.people.forget(current.UsernameKey)
		r.endSessions(ctx, id, "")
		return nil
	}
	w.reply = noContent
	return r.change(req, w), nil
}

// presentUser begins a change of a user that must be there. Where it is not, the write asks about a missing object.
func (r *Room) presentUser(
	ctx context.Context, req *enforce.Request, id, action string,
) (*write, view, *storage.User, error) {
	if err := checkUserID(id, ""); err != nil {
		return nil, nil, nil, err
	}
	condition, err := preconditionOf(req.HTTP.Header)
	if err != nil {
		return nil, nil, nil, err
	}
	sequence, err := r.begin(ctx, req)
	if err != nil {
		return nil, nil, nil, err
	}
	current, err := r.storedUser(ctx, id)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("read the user: %w", err)
	}
	v := standing{r.directory}
	w := &write{sequence: sequence, condition: condition, action: action, target: "users/" + id}
	w.question.Resource = resource(v, id, "", false)
	if current != nil {
		w.version, w.meta = current.Version, current.Meta
	}
	return w, v, current, nil
}

// changeOr is change, or the error that came first.
func (r *Room) changeOr(req *enforce.Request, w *write, err error) (enforce.Resolved, error) {
	if err != nil {
		return enforce.Resolved{}, err
	}
	return r.change(req, w), nil
}

func (r *Room) resetPassword(ctx context.Context, req *enforce.Request) (enforce.Resolved, error) {
	id := req.Params["id"]
	var in resetFields
	if len(req.Body) > 0 {
		if err := req.Decode(&in); err != nil {
			return enforce.Resolved{}, err
		}
	}
	w, v, current, err := r.presentUser(ctx, req, id, "iam/users:reset_password")
	if err != nil || current == nil {
		return r.changeOr(req, w, err)
	}
	next := *current
	next.Password = r.temporaryState(req.Now)
	next.Epoch++
	if err := r.askUser(ctx, req, w, v, current, &next, false); err != nil {
		return enforce.Resolved{}, err
	}
	var made madePassword
	w.prepare = func(ctx context.Context) (err error) {
		state := next.Password
		made, err = once(req, current.Password.Verifier, func() (madePassword, error) {
			if !given(in.Password) {
				return r.makeTemporary(ctx, state)
			}
			// Judged behind the decision, so that who may not reset learns nothing of the user by what is refused.
			normal, err := r.acceptPassword(in.Password.Value, "/password", current, "")
			if err != nil {
				return madePassword{}, err
			}
			return r.makeChosen(ctx, normal, state)
		})
		next.Password = made.state
		return err
	}
	w.apply = func(ctx context.Context, tx storage.Tx) error { return tx.Update(ctx, &next) }
	w.after = func(ctx context.Context) error {
		r.people.forget(current.UsernameKey)
		r.endSessions(ctx, id, "")
		return nil
	}
	w.reply = func() enforce.Reply {
		return noStore(saved(next.Meta, temporaryPasswordView{TemporaryPassword: made.temporary, ExpiresAt: made.state.ExpiresAt}))
	}
	return r.change(req, w), nil
}

// saveRecord inserts or updates, and lifts the tombstone of an id that comes back.
func saveRecord(ctx context.Context, tx storage.Tx, record storage.Record, creating bool, tombstone *storage.Tombstone) error {
	if !creating {
		return tx.Update(ctx, record)
	}
	if tombstone != nil {
		if err := tx.Delete(ctx, storage.TombstoneKind, tombstone.ID, tombstone.Version); err != nil {
			return err
		}
	}
	return tx.Insert(ctx, record)
}

// bury deletes an identity and leaves a tombstone with its epoch.
func bury(ctx context.Context, tx storage.Tx, kind storage.Kind, target string, meta storage.Meta, epoch int64) error {
	stone := &storage.Tombstone{Epoch: epoch}
	stone.ID = target
	if err := tx.Insert(ctx, stone); err != nil {
		return err
	}
	return tx.Delete(ctx, kind, meta.ID, meta.Version)
}

// tombstone returns what a deleted identity left, or nil.
func (r *Room) tombstone(ctx context.Context, target string) (*storage.Tombstone, error) {
	stone, err := storage.Get[storage.Tombstone](ctx, r.store, target)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for a tombstone: %w", err)
	}
	return stone, nil
}

// tenantDenied answers the naming of a tenant that the caller may not see as the naming of one that does not exist.
func tenantDenied(named enforce.Field[string]) func(policies.Decision) error {
	return func(d policies.Decision) error {
		for _, reason := range d.Reasons {
			if reason.Code == "tenant_mismatch" && named.Value != "" && !d.Obligations.Conceal {
				return enforce.BadRequest("unknown_tenant", "/tenant", "there is no such tenant, or none for you to see")
			}
		}
		return nil
	}
}

// isCaller reports whether an object is the caller's own identity.
func isCaller(req *enforce.Request, kind, id string) bool {
	return req.Caller.Type == kind && req.Caller.ID == id
}

// noStore keeps a reply with a secret out of every cache.
func noStore(reply enforce.Reply) enforce.Reply {
	if reply.Header == nil {
		reply.Header = http.Header{}
	}
	reply.Header.Set("Cache-Control", "no-store")
	reply.Header.Set("Pragma", "no-cache")
	return reply
}
