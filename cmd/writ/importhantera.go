package main

import (
	"slices"
	"strings"

	"github.com/google/uuid"
)

// fromHantera reads {"roles": [...], "principals": [...], "clients": [...]} as the IAM API of Hantera has them, in the older shape with
// "properties" or in the newer flat one. A principal is a user whose name is its e-mail address, a client an application, an entry of an
// ACL a grant. Roles keep their keys, but system: is reserved here: only system:owner stays, others get the prefix in its place.
func fromHantera(file string, content []byte, prefix string) ([]*object, []string, error) {
	doc, err := readForeign(file, content)
	if err != nil {
		return nil, nil, err
	}
	doc.known("roles", "principals", "clients")
	h := &hantera{doc: doc, prefix: prefix, keys: map[string]string{"system:owner": "system:owner"}}
	for _, r := range doc.member("roles").items() {
		h.roleKey(r)
	}
	for _, r := range doc.member("roles").items() {
		h.role(r)
	}
	for _, p := range doc.member("principals").items() {
		h.principal(p)
	}
	for _, c := range doc.member("clients").items() {
		h.client(c)
	}
	return doc.doc.objects()
}

type hantera struct {
	doc    part
	prefix string
	keys   map[string]string // the key of a role here, by the key there
}

// roleKey notes what a role of the file is called here.
func (h *hantera) roleKey(r part) {
	key := r.member("key").text()
	if _, named := h.keys[key]; named && key != "system:owner" {
		r.member("key").fail("%q is there twice", key)
		return
	}
	if rest, reserved := strings.CutPrefix(key, "system:"); reserved && key != "system:owner" {
		h.keys[key] = h.prefix + ":" + rest
		r.left("the role %s becomes %s, because system: is reserved", key, h.keys[key])
		return
	}
	h.keys[key] = key
}

func (h *hantera) role(r part) {
	if !r.known("key", "description", "acl", "etag", "eTag", "createdAt", "updatedAt") {
		return
	}
	key := r.member("key").text()
	switch {
	case key == "system:owner":
		r.left("system:owner is built in here and keeps its own rights")
		return
	case key == "":
		r.fail("a role has a key")
		return
	}
	o := r.once("roles", h.keys[key], map[string]any{"key": h.keys[key]})
	o.copied(r, [2]string{"description", "description"})
	h.acl(o, r.member("acl"), "grants")
}

// acl makes grants of the entries of an ACL, a pair each.
func (h *hantera) acl(o *object, acl part, field string) {
	if !acl.given() {
		return
	}
	entries := acl
	if _, wrapped := acl.value.(map[string]any); wrapped {
		acl.known("entries")
		entries = acl.member("entries")
	}
	o.take(field, entries, []any{})
	for _, e := range entries.items() {
		if !e.known("resource", "permission", "attributeKeys") {
			continue
		}
		if len(e.member("attributeKeys").items()) > 0 {
			e.left("an entry with attributeKeys is a condition, and grants have none; write it as a rule")
			continue
		}
		resources, permissions := e.member("resource").oneOrMore(), e.member("permission").oneOrMore()
		if len(resources) == 0 || len(permissions) == 0 {
			e.fail("an entry has a resource and a permission")
		}
		for _, resource := range resources {
			for _, permission := range permissions {
				for _, pair := range hanteraPairs(resource.text(), permission.text()) {
					o.push(field, map[string]any{"resource": pair[0], "action": pair[1]})
				}
			}
		}
	}
}

// hanteraPairs are the resource and the actions here of a resource and a permission there. Writing a principal there includes its password,
// writing a client its rights.
func hanteraPairs(resource, permission string) [][2]string {
	renamed, more := resource, ""
	for _, r := range [][3]string{{"iam/principals", "iam/users", "reset_password"}, {"iam/clients", "iam/applications", "write_scopes"}} {
		if rest, ok := strings.CutPrefix(resource+"/", r[0]+"/"); ok {
			renamed, more = strings.TrimSuffix(r[1]+"/"+rest, "/"), r[2]
		}
	}
	pairs := [][2]string{{renamed, permission}}
	if more != "" && permission == "write" {
		pairs = append(pairs, [2]string{renamed, more})
	}
	return pairs
}

// properties are those of an object in either shape: "properties", or the object itself.
func (h *hantera) properties(p part) part {
	inner := p.member("properties")
	if !inner.given() {
		return p
	}
	for _, key := range []string{"name", "email", "phone", "picture", "settings", "description", "redirectUris", "grantTypes"} {
		if m := p.member(key); m.given() {
			m.fail("stands beside properties; an object has one shape or the other")
		}
	}
	inner.keys()
	return inner
}

func (h *hantera) principal(p part) {
	if !p.known("id", "properties", "roles", "name", "email", "phone", "picture", "settings", "acl", "accessAttributes", "etag", "eTag",
		"suspendedAt", "lastActiveAt", "createdAt", "updatedAt", "passwordLogin", "passwordExpiresAt") {
		return
	}
	id, err := uuid.Parse(p.member("id").text())
	if err != nil {
		p.member("id").fail("a principal has a UUID as its id")
		return
	}
	o := p.once("users", id.String(), map[string]any{"id": id.String()})
	said := h.properties(p)
	email := said.member("email")
	if email.text() == "" {
		p.fail("a principal has an e-mail address, which is its username")
	}
	o.take("username", email, email.value)
	o.take("email", email, email.value)
	o.copied(said, [2]string{"name", "name"})
	free := map[string]any{}
	for _, key := range said.keys() {
		if key != "name" && key != "email" && (said.pointer != p.pointer || slices.Contains([]string{"phone", "picture", "settings"}, key)) {
			free[key] = said.member(key).value
		}
	}
	if len(free) > 0 {
		o.take("properties", said, free)
	}
	o.copied(p, [2]string{"suspendedAt", "suspended_at"})
	if login := p.member("passwordLogin"); login.given() && !login.truth() {
		login.left("%s logs in without a password there; here it has none until one is set", email.text())
	}
	h.rights(o, p)
}

// rights are what principals and clients have alike.
func (h *hantera) rights(o *object, p part) {
	if roles := p.member("roles"); roles.given() {
		o.take("roles", roles, []any{})
		for _, r := range roles.items() {
			key := r.text()
			here, named := h.keys[key]
			if !named && strings.HasPrefix(key, "system:") {
				r.left("the role %s is not in the file, and system: is reserved here: give %s what it stands for", key, o.name())
				continue
			}
			if !named {
				here = key
			}
			o.push("roles", here)
		}
	}
	h.acl(o, p.member("acl"), "grants")
	if a := p.member("accessAttributes"); a.given() && len(a.keys()) > 0 {
		a.left("the access attributes of %s belong to conditions, which grants do not have", o.name())
	}
}

func (h *hantera) client(c part) {
	if !c.known("id", "properties", "roles", "name", "description", "redirectUris", "grantTypes", "scopes", "acl", "accessAttributes", "etag",
		"eTag", "createdAt", "updatedAt", "tokenEndpointAuthMethod") {
		return
	}
	id := c.member("id").id()
	o := c.once("applications", id, map[string]any{"id": id, "name": id})
	said := h.properties(c)
	o.copied(said, [2]string{"name", "name"}, [2]string{"description", "description"}, [2]string{"redirectUris", "redirect_uris"})
	if kinds := said.member("grantTypes"); kinds.given() {
		o.take("grant_types", kinds, []any{})
		for _, kind := range kinds.items() {
			if !slices.Contains([]string{"client_credentials", "password", "refresh_token", "authorization_code"}, kind.text()) {
				kind.left("there is no grant type %s for the client %s", kind.text(), id)
				continue
			}
			o.push("grant_types", kind.text())
		}
	}
	if said.pointer != c.pointer {
		free := map[string]any{}
		for _, key := range said.keys() {
			if !slices.Contains([]string{"name", "description", "redirectUris", "grantTypes"}, key) {
				free[key] = said.member(key).value
			}
		}
		if len(free) > 0 {
			o.take("properties", said, free)
		}
	}
	if scopes := c.member("scopes"); scopes.given() {
		o.take("scopes", scopes, []any{})
		for _, s := range scopes.items() {
			resource, action, ok := strings.Cut(s.text(), ":")
			if !ok {
				s.fail("%q is no scope; want resource:permission", s.text())
				continue
			}
			if resource == "me" {
				continue // everybody holds it, outside every ceiling
			}
			for _, pair := range hanteraPairs(resource, action) {
				o.push("scopes", pair[0]+":"+pair[1])
			}
		}
	}
	o.copied(c, [2]string{"tokenEndpointAuthMethod", "token_endpoint_auth_method"})
	if c.member("tokenEndpointAuthMethod").value != "none" {
		c.left("there is no secret of the client %s in the file; make one with writ app secret add", id)
	}
	h.rights(o, c)
}
