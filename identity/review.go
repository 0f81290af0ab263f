package identity

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

const (
	// reviewScan bounds how many identities one page looks at, reviewQuestions how many questions it puts to the policies: a page that
	// reaches either is short and has a next one.
	reviewScan      = 2000
	reviewQuestions = 5000
	// reviewReveals bounds the applications that are asked about for one identity.
	reviewReveals = 1000
	// maxUnused is the longest time that a review looks back, in days.
	maxUnused = 3650
)

// ReviewedIdentity is one identity in a review, as GET /v1/access-review replies it: what it may do now and by what, and what of it is in use.
type ReviewedIdentity struct {
	Type   string           `json:"type"`
	ID     string           `json:"id"`
	Name   string           `json:"name"` // of a user the username
	Tenant storage.TenantID `json:"tenant,omitempty"`
	// Usable is false where the identity can do nothing now, whatever it holds.
	Usable    bool      `json:"usable"`
	CreatedAt time.Time `json:"created_at"`
	// LastUsedAt is the last login of a user, or the last use of a secret of an application; absent where none is known.
	LastUsedAt *time.Time `json:"last_used_at,omitempty"`
	// Unused says that the identity was not used for as long as was asked.
	Unused      bool                 `json:"unused"`
	Permissions []ReviewedPermission `json:"permissions"`
	// Scopes are the most that tokens of an application carry; absent where there is no ceiling.
	Scopes []string `json:"scopes,omitempty"`
	// Reveals are the secrets that the identity could read, signed in afresh.
	Reveals []ReviewedReveal `json:"reveals"`
	// RevealsIncomplete says that there are more applications than were asked about; name one to ask about it.
	RevealsIncomplete bool `json:"reveals_incomplete,omitempty"`
	// Secrets are the live ones of an application.
	Secrets []ReviewedSecret `json:"secrets"`
}

// ReviewedPermission is one right that the policies permit now, and where it comes from.
type ReviewedPermission struct {
	Tenant   string   `json:"tenant,omitempty"`
	Resource string   `json:"resource"`
	Action   string   `json:"action"`
	Via      []string `json:"via"`
	// NotAfter is when the last of its sources ends.
	NotAfter *time.Time `json:"not_after,omitempty"`
}

// ReviewedReveal is an application of which the identity could read the secrets named.
type ReviewedReveal struct {
	Application string   `json:"application"`
	Name        string   `json:"name"`
	Secrets     []string `json:"secrets"`
}

// ReviewedSecret is a live secret of an application.
type ReviewedSecret struct {
	ID         string     `json:"id"`
	Label      string     `json:"label"`
	CreatedAt  time.Time  `json:"created_at"`
	ExpiresAt  *time.Time `json:"expires_at,omitempty"`
	LastUsedAt *time.Time `json:"last_used_at,omitempty"`
	Unused     bool       `json:"unused"`
}

// reviewPage is a page of a review. Of the types in Apps the application's own rules decide: a right that covers them is none there
// by itself, and they may permit what no right covers.
type reviewPage struct {
	page[ReviewedIdentity]
	Apps []string `json:"apps"`
}

// review is one page of a review on its way.
type review struct {
	room *Room
	list *listing
	now  time.Time
	// kinds are the collections that are reviewed, in this order.
	kinds []string
	// resource and action select who has that right; empty is everybody.
	resource, action string
	// application selects who reads its secrets; empty is everybody.
	application string
	// since is the time after which a use counts; zero where it was not asked.
	since time.Time

	tenants  []string
	narrowed bool
	asked    int // questions so far
	// sealed are the applications whose secrets can be shown, once they are wanted.
	sealed    []*storage.Application
	sealedAll bool
}

// reviewAccess shows what identities may do, by asking the policies about each right that they hold: what is listed is what an
// evaluation permits. It asks on behalf of nobody and is no decision about them, so the log has the one line of this request.
func (r *Room) reviewAccess(_ context.Context, req *enforce.Request) (enforce.Resolved, error) {
	l, err := r.listing(req, "access-review", storage.UserKind, "role", "role_prefix", "group", "tenant")
	if err != nil {
		return enforce.Resolved{}, err
	}
	v := &review{room: r, list: l, now: req.Now, kinds: []string{kindUser, kindApplication}}
	if err := v.read(req.Query); err != nil {
		return enforce.Resolved{}, err
	}
	return enforce.Resolved{
		Question: policies.Question{Resource: resource(standing{r.directory}, "", l.tenant, true)},
		Respond: func(ctx context.Context, d policies.Decision) (enforce.Reply, error) {
			var err error
			if v.tenants, v.narrowed, err = visible(d); err != nil {
				return enforce.Reply{}, err
			}
			shown, err := v.page(ctx)
			return enforce.Reply{Status: http.StatusOK, Body: reviewPage{page: shown, Apps: present(r.config.PDP.Describe().Apps)}}, err
		},
	}, nil
}

// read takes what the query says beside the filters of lists.
func (v *review) read(query map[string]string) error {
	for _, name := range []string{"type", "permission", "application", "unused_for"} {
		value, given := query[name]
		if !given {
			continue
		}
		v.list.bound[name] = value
		switch name {
		case "type":
			if !slices.Contains(v.kinds, value) {
				return enforce.BadParameter("bad_filter", name, "want user or application")
			}
			v.kinds = []string{value}
		case "permission":
			var err error
			if v.resource, v.action, err = policies.ParsePermission(value); err != nil {
				return enforce.BadParameter("bad_filter", name, "want a permission as a scope writes it: resource:action")
			}
		case "application":
			if err := checkApplicationID(value, ""); err != nil {
				return enforce.BadParameter("bad_filter", name, "want the id of an application")
			}
			v.application = value
		case "unused_for":
			days, err := strconv.Atoi(value)
			if err != nil || days < 1 || days > maxUnused || strconv.Itoa(days) != value {
				return enforce.BadParameter("bad_filter", name, "want a number of days from 1 to 3650")
			}
			v.since = v.now.AddDate(0, 0, -days)
		}
	}
	return nil
}

// page collects identities until it is full, or has looked at or asked enough. The cursor names a kind and an id.
func (v *review) page(ctx context.Context) (page[ReviewedIdentity], error) {
	shown := page[ReviewedIdentity]{Items: []ReviewedIdentity{}}
	b := binding{list: v.list.list, filters: v.list.bound, visible: v.tenants}
	kind, after := v.kinds[0], ""
	if v.list.after != "" {
		place, err := v.room.cursors.open(b, "after", v.list.after)
		if err != nil {
			return shown, err
		}
		kind, after, _ = strings.Cut(place, " ")
	}
	query := v.list.query
	if v.narrowed {
		if len(v.tenants) == 0 {
			return shown, nil
		}
		query.Equal["tenant"] = v.tenants
	}
	for scanned := 0; ; {
		entries, err := v.room.reviewed(ctx, kind, after, query)
		if err != nil {
			return shown, fmt.Errorf("review access: %w", err)
		}
		for _, e := range entries {
			if len(shown.Items) == v.list.limit || scanned >= reviewScan || v.asked >= reviewQuestions {
				shown.Next = v.room.cursors.seal(b, kind+" "+after)
				return shown, nil
			}
			item, wanted, err := v.item(ctx, e)
			if err != nil {
				return shown, err
			}
			if wanted {
				shown.Items = append(shown.Items, item)
			}
			after = item.ID
			scanned++
		}
		switch {
		case len(entries) == loadPage:
		case kind == v.kinds[len(v.kinds)-1]:
			return shown, nil
		default:
			kind, after = v.kinds[len(v.kinds)-1], ""
		}
	}
}

// reviewed reads the next identities of a kind.
func (r *Room) reviewed(ctx context.Context, kind, after string, query storage.Query) ([]*entry, error) {
	query.After, query.Limit = after, loadPage
	if kind == kindUser {
		users, err := storage.List[storage.User](ctx, r.store, query)
		entries := make([]*entry, 0, len(users))
		for _, u := range users {
			entries = append(entries, &entry{user: u})
		}
		return entries, err
	}
	applications, err := storage.List[storage.Application](ctx, r.store, query)
	entries := make([]*entry, 0, len(applications))
	for _, a := range applications {
		entries = append(entries, &entry{application: a})
	}
	return entries, err
}

// item reviews one identity, and says whether the query wants it. Its id is always set.
func (v *review) item(ctx context.Context, e *entry) (ReviewedIdentity, bool, error) {
	subject := v.room.directory.subject(e)
	facts := subject.Facts.Identity()
	item := ReviewedIdentity{
		Type: facts.Type, ID: facts.ID, Name: subject.Name, Tenant: storage.TenantID(facts.Tenant),
		Usable: facts.Usable(v.now, policies.AddressUnknown), Scopes: facts.Scopes, Reveals: []ReviewedReveal{}, Secrets: []ReviewedSecret{},
	}
	if err := v.use(ctx, e, &item); err != nil {
		return item, false, err
	}
	if !v.since.IsZero() && !item.Unused && !slices.ContainsFunc(item.Secrets, func(s ReviewedSecret) bool { return s.Unused }) {
		return item, false, nil
	}
	var err error
	if item.Permissions, err = v.permissions(ctx, subject.Facts); err != nil {
		return item, false, err
	}
	if v.resource != "" && !v.covered(item.Permissions) {
		return item, false, nil
	}
	if err := v.reveals(ctx, subject.Facts, &item); err != nil {
		return item, false, err
	}
	return item, v.application == "" || len(item.Reveals) > 0, nil
}

// covered reports whether one right covers the one that the query names, in whatever tenant.
func (v *review) covered(held []ReviewedPermission) bool {
	catalogue := v.room.config.PDP.Catalogue()
	return slices.ContainsFunc(held, func(p ReviewedPermission) bool {
		return catalogue.Covers(p.Resource, p.Action, v.resource, v.action)
	})
}

// permissions are the rights, of those that are held now, that an evaluation permits. Which are held is preparation: see candidates
// in the room policies/decide, which answers the same for one subject.
func (v *review) permissions(ctx context.Context, subject *policies.Facts) ([]ReviewedPermission, error) {
	held := v.candidates(subject.Identity())
	permitted := make([]ReviewedPermission, 0, len(held))
	for _, p := range held {
		d, err := v.ask(ctx, &policies.Question{
			Entrypoint: policies.EntryDecision, Subject: subject, Action: p.Action,
			Resource: policies.Resource{
				Type: p.Resource, Tenant: p.Tenant, TenantEnabled: true, Exists: true, OtherOwners: -1, OwnersBefore: -1,
			},
			Caller: policies.Caller{Address: policies.AddressUnknown}, Now: v.now,
		})
		if err != nil {
			return nil, err
		}
		if d.Allow {
			permitted = append(permitted, p)
		}
	}
	return permitted, nil
}

// candidates puts together the grants whose window is open, by what they give. One for every tenant is asked about in the tenant of the
// identity and in none as well: the policies keep an identity of a tenant from all others.
func (v *review) candidates(identity *policies.Identity) []ReviewedPermission {
	type right struct{ tenant, resource, action string }
	at := map[right]int{}
	held := []ReviewedPermission{}
	for _, g := range identity.Grants {
		if v.now.Before(g.NotBefore) || !g.NotAfter.IsZero() && !v.now.Before(g.NotAfter) {
			continue
		}
		tenants := []string{g.Tenant}
		if g.Tenant == string(storage.AnyTenant) && identity.Tenant != "" {
			tenants = append(tenants, identity.Tenant, "")
		}
		for _, tenant := range tenants {
			key := right{tenant, g.Resource, g.Action}
			i, known := at[key]
			if !known {
				i = len(held)
				at[key] = i
				held = append(held, ReviewedPermission{Tenant: tenant, Resource: g.Resource, Action: g.Action})
			}
			held[i].add(g, !known)
		}
	}
	for i := range held {
		slices.Sort(held[i].Via)
	}
	slices.SortFunc(held, func(x, y ReviewedPermission) int {
		return cmp.Or(cmp.Compare(x.Tenant, y.Tenant), cmp.Compare(x.Resource, y.Resource), cmp.Compare(x.Action, y.Action))
	})
	return held
}

// add counts a grant among the sources of a right.
func (p *ReviewedPermission) add(g policies.Grant, first bool) {
	if !slices.Contains(p.Via, g.Via) {
		p.Via = append(p.Via, g.Via)
	}
	switch {
	case g.NotAfter.IsZero():
		p.NotAfter = nil
	case first, p.NotAfter != nil && g.NotAfter.After(*p.NotAfter):
		p.NotAfter = &g.NotAfter
	}
}

func (v *review) ask(ctx context.Context, q *policies.Question) (policies.Decision, error) {
	v.asked++
	d, err := v.room.config.PDP.Decide(ctx, q)
	if err != nil {
		return d, fmt.Errorf("review access: %w", err)
	}
	return d, nil
}

// reveals are the secrets that an identity could read if it came with everything that reading one takes: a fresh login with all its
// rights, through a confidential client, for a stated reason. Who holds no right to read secrets is not asked about.
func (v *review) reveals(ctx context.Context, subject *policies.Facts, item *ReviewedIdentity) error {
	holds := slices.ContainsFunc(subject.Identity().Grants, func(g policies.Grant) bool {
		return v.room.config.PDP.Catalogue().Covers(g.Resource, g.Action, "iam/applications", "reveal") ||
			g.Action == "reveal" && strings.HasPrefix(g.Resource, "iam/applications/")
	})
	if !holds || v.room.config.HashOnly {
		return nil
	}
	standing := standing{v.room.directory}
	if v.sealed == nil {
		v.sealed, v.sealedAll = v.room.directory.sealing(v.application, reviewReveals)
	}
	item.RevealsIncomplete = !v.sealedAll
	for _, a := range v.sealed {
		if v.narrowed && !slices.Contains(v.tenants, string(a.Tenant)) {
			continue
		}
		q := policies.Question{
			Entrypoint: policies.EntryCredential, Subject: subject, Action: "reveal", Now: v.now,
			Resource: resource(standing, a.ID, a.Tenant, true),
			Caller: policies.Caller{
				Plane: policies.PlaneManagement, Audiences: v.room.config.Audiences, UserToken: item.Type == kindUser, SID: "review",
				AuthTime: v.now, Address: policies.AddressAllowed,
			},
		}
		q.Resource.Type, q.Resource.Reason = "iam/applications", true
		q.Resource.Before = policies.NewFacts(applicationFacts(standing, a, v.room.config.Audiences))
		d, err := v.ask(ctx, &q)
		if err != nil {
			return err
		}
		if d.Allow {
			item.Reveals = append(item.Reveals, ReviewedReveal{Application: a.ID, Name: a.Name, Secrets: sealedSecrets(a)})
		}
	}
	return nil
}

// sealedSecrets are the ids of the secrets that have a value to show.
func sealedSecrets(a *storage.Application) (ids []string) {
	for _, s := range a.Secrets {
		if revealable(a, s.ID, false) == nil {
			ids = append(ids, s.ID)
		}
	}
	return ids
}

// sealing returns the applications, or the one that is named, that have secrets which can be shown, up to a number of them, in the order
// of their ids, and whether they are all.
func (d *directory) sealing(only string, most int) (found []*storage.Application, all bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	found = []*storage.Application{}
	for id, e := range d.applications {
		if (only == "" || id == only) && len(sealedSecrets(e.application)) > 0 {
			found = append(found, e.application)
		}
	}
	slices.SortFunc(found, func(x, y *storage.Application) int { return cmp.Compare(x.ID, y.ID) })
	if len(found) > most {
		return found[:most], false
	}
	return found, true
}

// use says when an identity and its secrets were last used.
func (v *review) use(ctx context.Context, e *entry, item *ReviewedIdentity) error {
	if e.user != nil {
		item.CreatedAt = e.user.CreatedAt
		last, err := v.lastLogin(ctx, e.user.ID)
		if err != nil {
			return err
		}
		item.LastUsedAt, item.Unused = last, v.unused(e.user.CreatedAt, last)
		return nil
	}
	item.CreatedAt = e.application.CreatedAt
	for _, s := range e.application.Secrets {
		use, err := storage.Get[storage.SecretUse](ctx, v.room.store, e.application.ID+"/"+s.ID)
		var last *time.Time
		switch {
		case err == nil:
			last = &use.LastUsedAt
		case !errors.Is(err, storage.ErrNotFound):
			return fmt.Errorf("read the last use of a secret: %w", err)
		}
		item.LastUsedAt = later(item.LastUsedAt, last)
		if secretLive(s, v.now) {
			item.Secrets = append(item.Secrets, ReviewedSecret{
				ID: s.ID, Label: s.Label, CreatedAt: s.CreatedAt, ExpiresAt: s.ExpiresAt, LastUsedAt: last, Unused: v.unused(s.CreatedAt, last),
			})
		}
	}
	// Of an application that proves itself with a key, and not with secrets, no use is known: it is not called unused for that.
	item.Unused = hasSecret(e.application) && v.unused(e.application.CreatedAt, item.LastUsedAt)
	return nil
}

// unused: what is younger than the time that was asked cannot have been unused for as long.
func (v *review) unused(created time.Time, last *time.Time) bool {
	return !v.since.IsZero() && created.Before(v.since) && (last == nil || last.Before(v.since))
}

// lastLogin is the last login that was written down, or the last use of a session that there still is.
func (v *review) lastLogin(ctx context.Context, user string) (*time.Time, error) {
	use, err := storage.Get[storage.LoginUse](ctx, v.room.store, user)
	var last *time.Time
	switch {
	case err == nil:
		last = &use.LastUsedAt
	case !errors.Is(err, storage.ErrNotFound):
		return nil, fmt.Errorf("read the last login of a user: %w", err)
	}
	sessions, err := storage.List[storage.Session](ctx, v.room.store, storage.Query{
		Equal: map[string][]string{"subject": {user}}, Limit: maxLimit,
	})
	if err != nil {
		return nil, fmt.Errorf("read the sessions of a user: %w", err)
	}
	for _, s := range sessions {
		last = later(last, &s.LastUsedAt)
	}
	return last, nil
}

func later(a, b *time.Time) *time.Time {
	if a == nil || b != nil && b.After(*a) {
		return b
	}
	return a
}
