package identity

import (
	"bytes"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

// maxItems bounds every list of an object.
const maxItems = 1000

// grantFields is a grant as it is written in JSON.
type grantFields struct {
	Tenant    string     `json:"tenant,omitempty"`
	Resource  string     `json:"resource"`
	Action    string     `json:"action"`
	NotBefore *time.Time `json:"not_before,omitempty"`
	NotAfter  *time.Time `json:"not_after,omitempty"`
}

// identityFields are what users and applications have in common. A field that is absent keeps its value, null clears it.
type identityFields struct {
	Name       enforce.Field[string]          `json:"name"`
	Tenant     enforce.Field[string]          `json:"tenant"`
	Groups     enforce.Field[[]string]        `json:"groups"`
	Roles      enforce.Field[[]string]        `json:"roles"`
	Grants     enforce.Field[[]grantFields]   `json:"grants"`
	NotBefore  enforce.Field[time.Time]       `json:"not_before"`
	NotAfter   enforce.Field[time.Time]       `json:"not_after"`
	Addresses  enforce.Field[[]string]        `json:"addresses"`
	Properties enforce.Field[json.RawMessage] `json:"properties"`
	Attributes enforce.Field[json.RawMessage] `json:"attributes"`
	Protected  enforce.Field[bool]            `json:"protected"`
}

// checker holds what was sent against the rules for values and carries it into a record. The first fault counts. Faults that
// depend on the object's state are kept apart: they are told only to who may change it.
type checker struct {
	view      view
	catalogue *policies.Catalogue
	now       time.Time
	base      string // JSON pointer of the object in its document
	merge     bool   // a PATCH: objects are merged as RFC 7396 says
	creating  bool
	local     bool // this server is for its own machine alone
	err       error
	late      error
}

func (c *checker) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

func (c *checker) bad(code, pointer, detail string) {
	c.fail(enforce.BadRequest(code, c.base+pointer, detail))
}

func (c *checker) lateBad(code, pointer, detail string) {
	if c.late == nil {
		c.late = enforce.BadRequest(code, c.base+pointer, detail)
	}
}

// text carries a string; null is the empty one.
func (c *checker) text(f enforce.Field[string], pointer string, limit int, into *string) {
	if !f.Set {
		return
	}
	if err := checkText(f.Value, c.base+pointer, limit); err != nil {
		c.fail(err)
	}
	*into = f.Value
}

// required carries a string that may be neither null nor empty. That an object to be made lacks it is told late: whether there is one
// already is not everybody's to know.
func (c *checker) required(f enforce.Field[string], pointer string, into *string) {
	const missing = "a value is needed here"
	if f.Set && f.Value == "" {
		c.bad("missing", pointer, missing)
		return
	}
	if !f.Set && c.creating && *into == "" {
		c.lateBad("missing", pointer, missing)
		return
	}
	c.text(f, pointer, maxName, into)
}

// flag carries a boolean that may not be null.
func (c *checker) flag(f enforce.Field[bool], pointer string, into *bool) {
	if !f.Set {
		return
	}
	if f.Null {
		c.bad("wrong_type", pointer, "null is not accepted here; want a boolean")
		return
	}
	*into = f.Value
}

// instant carries a time; null is none.
func (c *checker) instant(f enforce.Field[time.Time], into **time.Time) {
	if !f.Set {
		return
	}
	*into = nil
	if !f.Null {
		at := storage.Time(f.Value)
		*into = &at
	}
}

// window carries both ends. New objects may not have ended already: nobody makes what is dead.
func (c *checker) window(from, until enforce.Field[time.Time], w **time.Time, e **time.Time) {
	c.instant(from, w)
	c.instant(until, e)
	pointer := "/not_after"
	if !until.Set {
		pointer = "/not_before"
	}
	if *w != nil && *e != nil && !(*e).After(**w) {
		if from.Set && until.Set {
			c.bad("bad_window", pointer, "not_after must be later than not_before")
		} else if from.Set || until.Set {
			c.lateBad("bad_window", pointer, "not_after must be later than not_before")
		}
	}
	if c.creating && *e != nil && !(*e).After(c.now) {
		c.lateBad("bad_window", "/not_after", "not_after is in the past")
	}
}

var tooMany = "at most " + strconv.Itoa(maxItems) + " entries are accepted"

// count refuses lists that are too long.
func (c *checker) count(n int, pointer string) bool {
	if n > maxItems {
		c.bad("too_many", pointer, tooMany)
		return false
	}
	return true
}

func (c *checker) roles(f enforce.Field[[]string], pointer string, into *[]storage.RoleKey) {
	if !f.Set || !c.count(len(f.Value), pointer) {
		return
	}
	keys := make([]storage.RoleKey, 0, len(f.Value))
	for i, key := range f.Value {
		if c.view.role(storage.RoleKey(key)) == nil {
			c.lateBad("unknown_role", pointer+"/"+strconv.Itoa(i), "there is no role "+named(key))
		}
		keys = append(keys, storage.RoleKey(key))
	}
	*into = distinct(keys)
}

func (c *checker) groups(f enforce.Field[[]string], pointer string, into *[]storage.GroupID) {
	if !f.Set || !c.count(len(f.Value), pointer) {
		return
	}
	ids := make([]storage.GroupID, 0, len(f.Value))
	for i, id := range f.Value {
		if c.view.group(storage.GroupID(id)) == nil {
			c.lateBad("unknown_group", pointer+"/"+strconv.Itoa(i), "there is no group "+named(id))
		}
		ids = append(ids, storage.GroupID(id))
	}
	*into = distinct(ids)
}

func (c *checker) grants(f enforce.Field[[]grantFields], pointer string, into *[]storage.Grant) {
	if !f.Set || !c.count(len(f.Value), pointer) {
		return
	}
	grants := make([]storage.Grant, 0, len(f.Value))
	seen := map[string]bool{}
	for i, given := range f.Value {
		g, known := c.grant(given, pointer+"/"+strconv.Itoa(i))
		if !known {
			continue // it gives nothing, so it is not what the change is refused for
		}
		if key := grantKey(g); !seen[key] {
			seen[key] = true
			grants = append(grants, g)
		}
	}
	*into = grants
}

// grant reads one grant and reports whether its tenant exists.
func (c *checker) grant(given grantFields, pointer string) (storage.Grant, bool) {
	g := storage.Grant{Tenant: storage.TenantID(given.Tenant), Resource: given.Resource, Action: given.Action}
	c.permission(given.Resource, given.Action, pointer+"/resource", pointer+"/action")
	known := g.Tenant == "" || g.Tenant == storage.AnyTenant || c.view.tenant(g.Tenant) != nil
	if !known {
		c.lateBad("unknown_tenant", pointer+"/tenant", "there is no tenant "+named(given.Tenant))
	}
	if given.NotBefore != nil {
		at := storage.Time(*given.NotBefore)
		g.NotBefore = &at
	}
	if given.NotAfter != nil {
		at := storage.Time(*given.NotAfter)
		g.NotAfter = &at
	}
	if g.NotBefore != nil && g.NotAfter != nil && !g.NotAfter.After(*g.NotBefore) {
		c.bad("bad_window", pointer+"/not_after", "not_after must be later than not_before")
	}
	return g, known
}

func (c *checker) permission(resource, action, resourcePointer, actionPointer string) {
	switch {
	case !policies.ValidResource(resource):
		c.bad("malformed_resource", resourcePointer, `a resource is a path of segments of A-Z a-z 0-9 . _ - joined by /, or "*"`)
	case !policies.ValidAction(action):
		c.bad("malformed_action", actionPointer, `an action is one segment of A-Z a-z 0-9 . _ -, or "*"`)
	case c.catalogue.Check(resource, action) != nil:
		pointer := resourcePointer
		if c.catalogue.Check(resource, "*") == nil {
			pointer = actionPointer
		}
		c.bad("unknown_permission", pointer, "the catalogue has no "+named(resource+":"+action))
	}
}

// named quotes a name of ours that is wrong, so that a list of many is easily mended. Anything that has not the shape of a name
// is not repeated: it may be a secret in the wrong field.
func named(name string) string {
	if len(name) == 0 || len(name) > 128 || strings.ContainsFunc(name, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:/*-", r)
	}) || strings.HasPrefix(name, secretPrefix) {
		return "of this name"
	}
	return strconv.Quote(name)
}

func grantKey(g storage.Grant) string {
	at := func(t *time.Time) string {
		if t == nil {
			return ""
		}
		return t.Format(time.RFC3339Nano)
	}
	return strings.Join([]string{string(g.Tenant), g.Resource, g.Action, at(g.NotBefore), at(g.NotAfter)}, " ")
}

// scopes carries a ceiling: null is none, [] is nothing.
func (c *checker) scopes(f enforce.Field[[]string], pointer string, into *[]string) {
	if !f.Set {
		return
	}
	if f.Null {
		*into = nil
		return
	}
	if !c.count(len(f.Value), pointer) {
		return
	}
	for i, scope := range f.Value {
		at := pointer + "/" + strconv.Itoa(i)
		resource, action, err := policies.ParsePermission(scope)
		if err != nil {
			c.bad("malformed_scope", at, "a scope is a permission: resource:action, such as iam/users:read")
			continue
		}
		c.permission(resource, action, at, at)
	}
	*into = distinct(f.Value)
}

// words carries a list of plain strings, each one of those allowed if any are named.
func (c *checker) words(f enforce.Field[[]string], pointer string, allowed []string, into *[]string) {
	if !f.Set {
		return
	}
	if f.Null {
		*into = nil
		return
	}
	if !c.count(len(f.Value), pointer) {
		return
	}
	for i, word := range f.Value {
		at := pointer + "/" + strconv.Itoa(i)
		switch {
		case allowed != nil && !slices.Contains(allowed, word):
			c.bad("unknown_value", at, "want one of "+strings.Join(allowed, ", "))
		case word == "" || len(word) > maxText || strings.ContainsFunc(word, func(r rune) bool { return r <= ' ' || r == 0x7f }):
			c.bad("malformed_value", at, "want a text without spaces")
		}
	}
	*into = distinct(f.Value)
}

// addresses carries CIDRs: null and [] mean anywhere.
func (c *checker) addresses(f enforce.Field[[]string], into *[]string) {
	if !f.Set || !c.count(len(f.Value), "/addresses") {
		return
	}
	canonical, err := checkAddresses(f.Value, c.base+"/addresses")
	if err != nil {
		c.fail(err)
	}
	*into = canonical
	if len(canonical) == 0 {
		*into = nil
	}
}

// object carries free JSON. A PATCH merges, everything else replaces.
func (c *checker) object(f enforce.Field[json.RawMessage], pointer string, into *json.RawMessage) {
	if !f.Set {
		return
	}
	if f.Null || string(bytes.TrimSpace(f.Value)) == "null" {
		*into = nil
		return
	}
	var sent map[string]any
	if err := decodeNumbers(f.Value, &sent); err != nil {
		c.bad("wrong_type", pointer, "want an object")
		return
	}
	if at, ok := inertKeys(sent, pointer); !ok {
		c.bad("malformed_key", at, "a key is not empty, does not begin with $ and holds neither a dot nor NUL")
		return
	}
	var kept map[string]any
	if c.merge && len(*into) > 0 && decodeNumbers(*into, &kept) != nil {
		kept = nil
	}
	if c.merge {
		sent = mergePatch(kept, sent)
	}
	raw, err := json.Marshal(sent)
	if err != nil {
		c.bad("wrong_type", pointer, "want an object")
		return
	}
	*into = raw
	if len(sent) == 0 {
		*into = nil
	}
}

func decodeNumbers(raw []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber() // what is kept comes back as it was sent
	return d.Decode(into)
}

// inertKeys looks for keys that some store or template could take for more than a key.
func inertKeys(value any, pointer string) (string, bool) {
	switch value := value.(type) {
	case map[string]any:
		for key, inner := range value {
			at := pointer + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
			if key == "" || strings.HasPrefix(key, "$") || strings.ContainsAny(key, ".\x00") {
				return at, false
			}
			if at, ok := inertKeys(inner, at); !ok {
				return at, false
			}
		}
	case []any:
		for i, inner := range value {
			if at, ok := inertKeys(inner, pointer+"/"+strconv.Itoa(i)); !ok {
				return at, false
			}
		}
	}
	return "", true
}

// mergePatch is RFC 7396, section 2.
func mergePatch(target, patch map[string]any) map[string]any {
	merged := make(map[string]any, len(target)+len(patch))
	for key, value := range target {
		merged[key] = value
	}
	for key, value := range patch {
		switch value := value.(type) {
		case nil:
			delete(merged, key)
		case map[string]any:
			inner, _ := merged[key].(map[string]any)
			merged[key] = mergePatch(inner, value)
		default:
			merged[key] = value
		}
	}
	return merged
}

// tenant carries the object's tenant. One that does not exist is a late fault: the decision comes first, so that a caller who may
// not see a tenant cannot tell.
func (c *checker) tenant(f enforce.Field[string], into *storage.TenantID) {
	if !f.Set {
		return
	}
	if f.Value != "" {
		if err := checkObjectID(f.Value, c.base+"/tenant"); err != nil {
			c.fail(err)
			return
		}
	}
	*into = storage.TenantID(f.Value)
	if f.Value != "" && c.view.tenant(*into) == nil {
		c.late = enforce.BadRequest("unknown_tenant", c.base+"/tenant", "there is no such tenant, or none for you to see")
	}
}

func (c *checker) identity(f *identityFields, into *storage.Identity) {
	into.NameKey, _ = searchKey(into.Name)
	c.tenant(f.Tenant, &into.Tenant)
	c.groups(f.Groups, "/groups", &into.Groups)
	c.roles(f.Roles, "/roles", &into.Roles)
	c.grants(f.Grants, "/grants", &into.Grants)
	c.window(f.NotBefore, f.NotAfter, &into.NotBefore, &into.NotAfter)
	c.addresses(f.Addresses, &into.Addresses)
	c.object(f.Properties, "/properties", &into.Properties)
	c.object(f.Attributes, "/attributes", &into.Attributes)
	c.flag(f.Protected, "/protected", &into.Protected)
}

// uri refuses what is not an absolute URI without a fragment.
func uri(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.IsAbs() && u.Fragment == "" && (u.Host != "" || u.Opaque != "" || u.Path != "")
}

// sameID refuses a body whose id is not the one of the path.
func sameID(f enforce.Field[string], id, pointer string) error {
	if f.Set && f.Value != id {
		return enforce.BadRequest("id_mismatch", pointer, "the id in the body is not the one in the path")
	}
	return nil
}

// difference collects the names of what a change changes.
type difference struct{ names []string }

func (d *difference) add(name string, changed bool) {
	if changed && !slices.Contains(d.names, name) {
		d.names = append(d.names, name)
	}
}

func sameTime(a, b *time.Time) bool {
	return a == nil && b == nil || a != nil && b != nil && a.Equal(*b)
}

func sameSet[T comparable](a, b []T) bool {
	if len(a) != len(b) {
		return false
	}
	held := make(map[T]bool, len(a))
	for _, v := range a {
		held[v] = true
	}
	for _, v := range b {
		if !held[v] {
			return false
		}
	}
	return true
}

func grantKeys(grants []storage.Grant) []string {
	keys := make([]string, len(grants))
	for i, g := range grants {
		keys[i] = grantKey(g)
	}
	return keys
}

// identity compares what users and applications have in common.
func (d *difference) identity(a, b *storage.Identity) {
	d.add("name", a.Name != b.Name)
	d.add("tenant", a.Tenant != b.Tenant)
	d.add("groups", !sameSet(a.Groups, b.Groups))
	d.add("roles", !sameSet(a.Roles, b.Roles))
	d.add("grants", !sameSet(grantKeys(a.Grants), grantKeys(b.Grants)))
	d.add("window", !sameTime(a.NotBefore, b.NotBefore) || !sameTime(a.NotAfter, b.NotAfter))
	d.add("addresses", !sameSet(a.Addresses, b.Addresses))
	d.add("properties", !bytes.Equal(a.Properties, b.Properties))
	d.add("attributes", !bytes.Equal(a.Attributes, b.Attributes))
	d.add("protected", a.Protected != b.Protected)
}

// grantViews are grants as replies show them.
func grantViews(grants []storage.Grant) []grantFields {
	views := make([]grantFields, len(grants))
	for i, g := range grants {
		views[i] = grantFields{
			Tenant: string(g.Tenant), Resource: g.Resource, Action: g.Action, NotBefore: g.NotBefore, NotAfter: g.NotAfter,
		}
	}
	return views
}

// present is never null in a reply.
func present[T any](values []T) []T {
	if values == nil {
		return []T{}
	}
	return values
}

// free is the JSON of free data, an object also where there is none.
func free(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 {
		return json.RawMessage("{}")
	}
	return raw
}
