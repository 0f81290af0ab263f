package oauth

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/storage"
)

// This file is the one place where Go judges scopes, audiences, lifetimes and claims: the second line behind writ/token,
// which no policy may widen (DESIGN.md section 2).

// maxScope is the longest scope list, in bytes, that is asked for or granted.
const maxScope = 4096

// scopePasswordChange is the one scope of me:* that is ever listed: what a temporary password is good for.
const scopePasswordChange = "me:password"

const adviceToName = "The scope list is longer than 4096 bytes. Name the scopes that are needed."

// right is a permission that a token may carry, with the end of what carries it; a zero end is open.
type right struct {
	resource, action string
	end              time.Time
}

func (r right) scope() string { return r.resource + ":" + r.action }

// ceiling is the most that one token request can get.
type ceiling struct {
	catalogue *policies.Catalogue
	rights    []right
	// named says that the request named scopes beyond one's own me:*, which everyone holds and no token lists.
	named bool
	// confined says that the subject has a temporary password.
	confined  bool
	audiences []string
	lifetime  int64 // seconds
	// format is the one that the application asks for, algorithm what signs it if it is a JWT.
	format, algorithm string
}

// granted is what a token says.
type granted struct {
	scopes   []string
	scope    string
	audience []string
	lifetime int64
	claims   map[string]any
	format   string
}

// ceilingOf computes requested ∩ registered ∩ held, and the caps.
func (s *Server) ceilingOf(i *issue) (ceiling, error) {
	app, identity, now := i.client.app, i.subject.Facts.Identity(), i.request.Now
	c := ceiling{
		format: cmp.Or(app.TokenFormat, formatJWT), algorithm: cmp.Or(app.TokenSigningAlg, algES256),
		catalogue: s.pdp.Catalogue(), confined: identity.TemporaryPassword, audiences: i.requester.GetRequestedAudience(),
	}
	if !issued(c.format) || !(slot{ringAccess, c.algorithm}).offered() {
		return ceiling{}, fmt.Errorf("application %s wants tokens of the format %q with %q", app.ID, c.format, c.algorithm)
	}
	if i.family != nil {
		if err := c.audiencesOf(i); err != nil {
			return ceiling{}, err
		}
	} else if len(c.audiences) == 0 {
		c.audiences = i.client.GetAudience()
	}
	registered, err := parseScopes(app.Scopes)
	if err != nil {
		return ceiling{}, fmt.Errorf("scopes of application %s: %w", app.ID, err)
	}
	c.rights = s.heldRights(i, c.catalogue, registered)
	if i.family != nil {
		if err := c.withinFamily(i); err != nil {
			return ceiling{}, err
		}
	}
	if requested := i.requester.GetRequestedScopes(); len(requested) > 0 {
		wanted, err := parseScopes(requested)
		if err != nil {
			return ceiling{}, refusal(codeInvalidScope)
		}
		c.named = slices.ContainsFunc(wanted, func(r right) bool { return !personal(r.resource) })
		c.rights = settle(c.catalogue, intersect(c.catalogue, c.rights, wanted))
	}
	c.lifetime = s.lifetimeOf(i, now)
	return c, nil
}

// audiencesOf are those of the session that the application may still have, or those asked for among them.
func (c *ceiling) audiencesOf(i *issue) error {
	allowed := slices.DeleteFunc(slices.Clone(i.family.record.Audience), func(audience string) bool {
		return !contains(i.client.GetAudience(), audience)
	})
	for _, audience := range c.audiences {
		if !contains(allowed, audience) {
			return refusal(codeInvalidTarget)
		}
	}
	switch {
	case len(allowed) == 0:
		return refusal(codeInvalidGrant)
	case len(c.audiences) == 0:
		c.audiences = allowed
	}
	return nil
}

// withinFamily cuts the rights to the scopes of the session and refuses a scope that is wider than these: a refresh narrows its
// access token and never widens it (RFC 6749, section 6; F-15).
func (c *ceiling) withinFamily(i *issue) error {
	scopes, err := parseScopes(i.family.record.Scopes)
	if err != nil {
		return fmt.Errorf("scopes of session %s: %w", i.sid, err)
	}
	wanted, err := parseScopes(i.requester.GetRequestedScopes())
	if err != nil {
		return refusal(codeInvalidScope)
	}
	for _, w := range wanted {
		if !personal(w.resource) && !slices.ContainsFunc(scopes, func(held right) bool {
			return c.catalogue.Covers(held.resource, held.action, w.resource, w.action)
		}) {
			return refusal(codeInvalidScope)
		}
	}
	c.rights = settle(c.catalogue, intersect(c.catalogue, c.rights, scopes))
	return nil
}

// lifetimeOf is the application's lifetime, or the default, cut where the application, its secret or the subject ends.
func (s *Server) lifetimeOf(i *issue, now time.Time) int64 {
	seconds := int64(s.lifetime / time.Second)
	if wanted := i.client.app.TokenLifetime; wanted > 0 {
		seconds = min(wanted, int64(MaxAccessTokenLifetime/time.Second))
	}
	ends := []time.Time{i.client.subject.Facts.Identity().NotAfter, i.subject.Facts.Identity().NotAfter}
	if secret := i.client.secret; secret != nil && secret.ExpiresAt != nil {
		ends = append(ends, *secret.ExpiresAt)
	}
	if i.family != nil {
		ends = append(ends, i.family.record.AbsoluteExpiresAt)
	}
	for _, end := range ends {
		seconds = cut(seconds, end, now)
	}
	return seconds
}

// cut shortens a lifetime in seconds so that it ends no later than end.
func cut(seconds int64, end, now time.Time) int64 {
	if end.IsZero() {
		return seconds
	}
	return min(seconds, end.Unix()-now.Unix())
}

func (c *ceiling) scopes() []string {
	scopes := make([]string, len(c.rights))
	for n, r := range c.rights {
		scopes[n] = r.scope()
	}
	return scopes
}

// apply obeys the obligations as far as the ceiling goes. An obligation that is not of its kind is no decision at all.
func (c *ceiling) apply(o policies.Obligations, now time.Time) (granted, error) {
	rights, confined, err := c.narrow(o.Scopes)
	if err != nil {
		return granted{}, err
	}
	g := granted{lifetime: c.lifetime, claims: o.Claims, format: cmp.Or(o.Format, c.format)}
	for _, r := range rights {
		g.scopes = append(g.scopes, r.scope())
		g.lifetime = cut(g.lifetime, r.end, now)
	}
	if confined {
		g.scopes = append(g.scopes, scopePasswordChange)
	}
	g.scope = strings.Join(g.scopes, " ")
	switch {
	case c.named && len(g.scopes) == 0 && !c.confined:
		return granted{}, refusal(codeInvalidScope)
	case len(g.scope) > maxScope:
		return granted{}, refusalOf(codeInvalidScope, adviceToName)
	}
	g.audience = slices.Clone(c.audiences)
	if o.Audience != nil {
		g.audience = slices.DeleteFunc(g.audience, func(a string) bool { return !contains(o.Audience, a) })
	}
	if len(g.audience) == 0 {
		return granted{}, refusal(codeInvalidTarget)
	}
	if o.Lifetime != nil {
		if *o.Lifetime < 1 {
			return granted{}, fmt.Errorf("%w: the policy grants a lifetime of %d seconds", policies.ErrUndecided, *o.Lifetime)
		}
		g.lifetime = min(g.lifetime, *o.Lifetime)
	}
	if !issued(g.format) {
		return granted{}, fmt.Errorf("%w: the policy wants the token format %q, which is not offered", policies.ErrUndecided, o.Format)
	}
	for name := range o.Claims {
		if reserved(name) {
			return granted{}, fmt.Errorf("%w: the policy sets the reserved claim %q", policies.ErrUndecided, name)
		}
	}
	return g, nil
}

// issued reports whether tokens of a format exist.
func issued(format string) bool { return format == formatJWT || format == formatOpaque }

// narrow cuts the rights to what the policy grants; nil grants all of them. It reports whether the password change is
// granted too.
func (c *ceiling) narrow(scopes []string) ([]right, bool, error) {
	if scopes == nil {
		return c.rights, false, nil
	}
	given, err := parseScopes(scopes)
	if err != nil {
		return nil, false, fmt.Errorf("%w: the policy grants a malformed scope: %w", policies.ErrUndecided, err)
	}
	confined := c.confined && contains(scopes, scopePasswordChange)
	return settle(c.catalogue, intersect(c.catalogue, c.rights, given)), confined, nil
}

// reserved reports whether a claim is ours alone. Case does not matter, by any folding of it: many readers, encoding/json among them,
// ignore it, and take "\u017fub" for "sub".
func reserved(claim string) bool {
	return slices.ContainsFunc([]string{
		"iss", "sub", "aud", "exp", "iat", "nbf", "jti", "client_id", "scope", "sid", "tenant", "roles", "groups", "cnf", "act", "may_act",
		"auth_time", "azp", claimEpochs,
	}, func(name string) bool { return strings.EqualFold(name, claim) })
}

// registeredScope is fosite's ScopeStrategy: a scope of which nothing is registered is outside the ceiling, and so is
// one that is no permission. me:* is registered by everyone. Whether it is held is writ/token's to say (candidates).
func (s *Server) registeredScope(registered []string, scope string) bool {
	resource, action, err := policies.ParsePermission(scope)
	if err != nil {
		return false
	}
	if registered == nil || personal(resource) {
		return true
	}
	catalogue := s.pdp.Catalogue()
	return slices.ContainsFunc(registered, func(r string) bool {
		res, act, err := policies.ParsePermission(r)
		if err != nil {
			return false
		}
		_, _, ok := catalogue.Intersect(resource, action, res, act)
		return ok
	})
}

// personal reports whether a resource is one's own: held by everyone and never listed.
func personal(resource string) bool { return resource == "me" || strings.HasPrefix(resource, "me/") }

// parseScopes keeps nil apart from empty: nil is no ceiling.
func parseScopes(scopes []string) ([]right, error) {
	if scopes == nil {
		return nil, nil
	}
	parsed := make([]right, len(scopes))
	for n, scope := range scopes {
		resource, action, err := policies.ParsePermission(scope)
		if err != nil {
			return nil, err
		}
		parsed[n] = right{resource: resource, action: action}
	}
	return parsed, nil
}

// intersect is the pairwise intersection; ends are those of rights.
func intersect(catalogue *policies.Catalogue, rights, limits []right) []right {
	var common []right
	for _, limit := range limits {
		for _, r := range rights {
			resource, action, ok := catalogue.Intersect(r.resource, r.action, limit.resource, limit.action)
			if ok && !personal(resource) {
				common = append(common, right{resource: resource, action: action, end: r.end})
			}
		}
	}
	return common
}

// settle sorts rights, drops repetitions, and gives each the latest end of any that covers it.
func settle(catalogue *policies.Catalogue, rights []right) []right {
	slices.SortFunc(rights, func(a, b right) int {
		return cmp.Or(strings.Compare(a.resource, b.resource), strings.Compare(a.action, b.action), later(b.end, a.end))
	})
	rights = slices.CompactFunc(rights, func(a, b right) bool { return a.resource == b.resource && a.action == b.action })
	ends := make([]time.Time, len(rights))
	for n, r := range rights {
		ends[n] = r.end
		for m, wider := range rights {
			if ends[n].IsZero() {
				break
			}
			if m != n && later(wider.end, ends[n]) > 0 && catalogue.Covers(wider.resource, wider.action, r.resource, r.action) {
				ends[n] = wider.end
			}
		}
	}
	for n := range rights {
		rights[n].end = ends[n]
	}
	return rights
}

// later orders ends; a zero end is the latest.
func later(a, b time.Time) int {
	switch {
	case a.IsZero() && b.IsZero():
		return 0
	case a.IsZero():
		return 1
	case b.IsZero():
		return -1
	default:
		return a.Compare(b)
	}
}

// carries reports whether a token of a tenant carries a grant: one bound to a tenant only if it is the token's.
func carries(grant, token string) bool {
	return grant == "" || grant == string(storage.AnyTenant) || grant == token
}

// heldRights remembers registered ∩ held of applications that ask for themselves, for as long as nothing that it was
// made of has changed: the record, the facts, the catalogue, and no window has opened or closed.
type heldRights struct {
	mu   sync.RWMutex
	byID map[string]heldEntry
}

type heldEntry struct {
	facts     *policies.Facts
	version   int64
	catalogue *policies.Catalogue
	tenant    string
	from      time.Time
	until     time.Time // zero: no window opens or closes
	rights    []right
}

func (h *heldRights) drop(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.byID, id)
}

func (s *Server) heldRights(i *issue, catalogue *policies.Catalogue, registered []right) []right {
	now := i.request.Now
	if i.grant != grantClientCredentials {
		rights, _ := heldWithin(catalogue, i.subject.Facts.Identity(), registered, i.tenant, now)
		return rights
	}
	app := i.client.app
	s.held.mu.RLock()
	entry, ok := s.held.byID[app.ID]
	s.held.mu.RUnlock()
	if ok && entry.facts == i.subject.Facts && entry.version == app.Version && entry.catalogue == catalogue &&
		entry.tenant == i.tenant && !now.Before(entry.from) && (entry.until.IsZero() || now.Before(entry.until)) {
		return entry.rights
	}
	entry = heldEntry{facts: i.subject.Facts, version: app.Version, catalogue: catalogue, tenant: i.tenant, from: now}
	entry.rights, entry.until = heldWithin(catalogue, i.subject.Facts.Identity(), registered, i.tenant, now)
	s.held.mu.Lock()
	defer s.held.mu.Unlock()
	if s.held.byID == nil {
		s.held.byID = map[string]heldEntry{}
	}
	s.held.byID[app.ID] = entry
	return entry.rights
}

// heldWithin is registered ∩ held at now for a token of a tenant, and the instant from which it may be different.
func heldWithin(
	catalogue *policies.Catalogue, identity *policies.Identity, registered []right, tenant string, now time.Time,
) (rights []right, until time.Time) {
	change := func(at time.Time) {
		if !at.IsZero() && at.After(now) && later(until, at) > 0 {
			until = at
		}
	}
	var held []right
	for _, g := range identity.Grants {
		if !carries(g.Tenant, tenant) || personal(g.Resource) {
			continue
		}
		change(g.NotBefore)
		change(g.NotAfter)
		if now.Before(g.NotBefore) || (!g.NotAfter.IsZero() && !now.Before(g.NotAfter)) {
			continue
		}
		held = append(held, right{resource: g.Resource, action: g.Action, end: g.NotAfter})
	}
	if registered != nil {
		held = intersect(catalogue, held, registered)
	}
	return settle(catalogue, held), until
}
