package hantera

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/writ-authz/writ/cmd/writ/dialects"
)

type object = map[string]any

// show renders a native object in the words of this system.
type show func(native object, etag string) object

func rendered(answer *dialects.Answer, err error, as show) (dialects.Reply, error) {
	if err != nil {
		return dialects.Reply{}, err
	}
	native := object{}
	if err := answer.Decode(&native); err != nil {
		return dialects.Reply{}, err
	}
	return dialects.Reply{Status: answer.Status, Body: as(native, strings.Trim(answer.Header.Get("Etag"), `"`))}, nil
}

func one(path string, as show) func(*dialects.Call) (dialects.Reply, error) {
	return func(c *dialects.Call) (dialects.Reply, error) {
		answer, err := c.JSON(http.MethodGet, path+dialects.Path(c.Params["id"]), nil, nil)
		return rendered(answer, err, as)
	}
}

func gone(path string) func(*dialects.Call) (dialects.Reply, error) {
	return func(c *dialects.Call) (dialects.Reply, error) {
		answer, err := c.JSON(http.MethodDelete, path+dialects.Path(c.Params["id"]), nil, nil)
		if err != nil {
			return dialects.Reply{}, err
		}
		return dialects.Reply{Status: answer.Status}, nil
	}
}

// copied takes members of one object into another under other names: pairs of from and to.
func copied(from, to object, names ...string) {
	for i := 0; i < len(names); i += 2 {
		if value, ok := from[names[i]]; ok {
			to[names[i+1]] = value
		}
	}
}

func principal(native object, etag string) object {
	properties := object{}
	if free, ok := native["properties"].(object); ok {
		maps.Copy(properties, free)
	}
	copied(native, properties, "name", "name", "email", "email")
	shown := object{"type": "principal", "properties": properties, "acl": acl(native["grants"]), "suspendedAt": native["suspended_at"]}
	copied(properties, shown, "name", "name", "email", "email", "phone", "phone", "picture", "picture", "settings", "settings")
	copied(native, shown, "id", "id", "roles", "roles", "created_at", "createdAt", "temporary_password", "temporaryPassword")
	return tagged(shown, etag)
}

func client(native object, etag string) object {
	properties := object{}
	if free, ok := native["properties"].(object); ok {
		maps.Copy(properties, free)
	}
	copied(native, properties, "name", "name", "description", "description", "redirect_uris", "redirectUris", "grant_types", "grantTypes",
		"token_endpoint_auth_method", "tokenEndpointAuthMethod")
	if scopes, ok := native["scopes"].([]any); ok {
		properties["scopes"] = shownScopes(scopes)
	}
	shown := object{"type": "client", "properties": properties, "acl": acl(native["grants"])}
	for _, name := range clientNames() {
		copied(properties, shown, name, name)
	}
	copied(native, shown, "id", "id", "roles", "roles", "created_at", "createdAt")
	if made, ok := native["secret"].(object); ok {
		shown["secret"] = secret(made, "")
	}
	return tagged(shown, etag)
}

func role(native object, etag string) object {
	shown := object{"acl": acl(native["grants"])}
	copied(native, shown, "key", "key", "description", "description")
	return tagged(shown, etag)
}

func tagged(shown object, etag string) object {
	if etag != "" {
		shown["eTag"] = etag
	}
	return shown
}

// acl are the entries that grants without tenant and window amount to.
func acl(grants any) object {
	list, _ := grants.([]any)
	held := map[[2]string]bool{}
	var order [][2]string
	for _, item := range list {
		g, _ := item.(object)
		if len(g) != 2 { // a tenant or a window: this system does not know them
			continue
		}
		resource, _ := g["resource"].(string)
		action, _ := g["action"].(string)
		held[[2]string{resource, action}] = true
		order = append(order, [2]string{resource, action})
	}
	entries := []object{}
	for _, pair := range order {
		if pair[1] == more(pair[0], "write") && held[[2]string{pair[0], "write"}] {
			continue // writing includes it
		}
		entries = append(entries, object{"resource": rename(pair[0], 1, 0), "permission": pair[1]})
	}
	return object{"entries": entries}
}

// body is a request in either shape.
type body struct {
	members map[string]json.RawMessage
	native  object
	// free are the properties that have no native name.
	free object
}

// read takes the body apart: inner are the members that may stand in properties, outer those beside; some may stand in either place.
func read(c *dialects.Call, inner, outer []string) (*body, error) {
	members, err := c.Members()
	if err != nil {
		return nil, err
	}
	b := &body{members: map[string]json.RawMessage{}, native: object{}, free: object{}}
	wrapped, ok := members["properties"]
	for name, raw := range members {
		isInner := slices.Contains(inner, name)
		switch {
		case name == "properties" && len(inner) > 0:
			continue
		case isInner && ok && !slices.Contains(outer, name):
			return nil, &dialects.Fault{Kind: dialects.Invalid, At: "/" + name, Detail: "it stands beside properties; a body has one shape or the other"}
		case !isInner && !slices.Contains(outer, name):
			return nil, &dialects.Fault{Kind: dialects.UnknownKey, At: "/" + name, Detail: "no such key here"}
		}
		b.members[name] = raw
	}
	if ok {
		properties := map[string]json.RawMessage{}
		if json.Unmarshal(wrapped, &properties) != nil || string(wrapped) == "null" {
			return nil, &dialects.Fault{Kind: dialects.WrongType, At: "/properties", Detail: "want an object"}
		}
		for name, raw := range properties {
			if _, twice := b.members[name]; twice {
				return nil, &dialects.Fault{Kind: dialects.Invalid, At: "/" + name, Detail: "it stands in properties and beside them"}
			}
			if slices.Contains(inner, name) && !slices.Contains(freeNames(), name) {
				b.members[name] = raw
			} else {
				b.free[name] = raw
			}
		}
	}
	for _, name := range freeNames() {
		if raw, ok := b.members[name]; ok && slices.Contains(inner, name) {
			b.free[name] = raw
		}
	}
	if raw, ok := b.members["id"]; ok {
		var id string
		if json.Unmarshal(raw, &id) != nil || id != c.Params["id"] {
			return nil, &dialects.Fault{Kind: dialects.Invalid, At: "/id", Detail: "it is not the id of the path"}
		}
	}
	return b, nil
}

func clientNames() []string {
	return []string{"name", "description", "redirectUris", "grantTypes", "scopes", "tokenEndpointAuthMethod"}
}

func freeNames() []string { return []string{"phone", "picture", "settings"} }

// take copies members under their native names: pairs of from and to.
func (b *body) take(names ...string) {
	for i := 0; i < len(names); i += 2 {
		if raw, ok := b.members[names[i]]; ok {
			b.native[names[i+1]] = raw
		}
	}
}

// texts reads a text or a list of texts, of which there is one at least.
func texts(raw json.RawMessage) []string {
	var one string
	if json.Unmarshal(raw, &one) == nil && one != "" {
		return []string{one}
	}
	var list []string
	if json.Unmarshal(raw, &list) != nil {
		return nil
	}
	return list
}

// acl reads acl and accessAttributes.
func (b *body) acl() error {
	if raw, ok := b.members["accessAttributes"]; ok {
		attributes := map[string][]string{}
		if err := dialects.Decode(raw, &attributes); err != nil || len(attributes) > 0 {
			return &dialects.Fault{Kind: dialects.Invalid, At: "/accessAttributes", Detail: "they belong to conditions, which grants do not have"}
		}
	}
	raw, ok := b.members["acl"]
	if !ok {
		return nil
	}
	var given struct {
		Entries []struct {
			Resource      json.RawMessage `json:"resource"`
			Permission    json.RawMessage `json:"permission"`
			AttributeKeys []string        `json:"attributeKeys"`
		} `json:"entries"`
	}
	if err := dialects.Decode(raw, &given); err != nil {
		return &dialects.Fault{Kind: dialects.Invalid, At: "/acl", Detail: "want entries of a resource and a permission each"}
	}
	grants := []object{}
	for _, entry := range given.Entries {
		resources, permissions := texts(entry.Resource), texts(entry.Permission)
		if len(entry.AttributeKeys) > 0 || len(resources) == 0 || len(permissions) == 0 {
			return &dialects.Fault{Kind: dialects.Invalid, At: "/acl/entries", Detail: "an entry has a resource and a permission, and no attributeKeys"}
		}
		for _, resource := range resources {
			for _, permission := range permissions {
				for _, pair := range rights(resource, permission) {
					grants = append(grants, object{"resource": pair[0], "action": pair[1]})
				}
			}
		}
	}
	b.native["grants"] = grants
	return nil
}

// version turns a body's etag into the precondition that it is.
func (b *body) version(c *dialects.Call) error {
	raw, ok := b.members["etag"]
	if !ok {
		return nil
	}
	var tag string
	if json.Unmarshal(raw, &tag) != nil || tag == "" {
		return &dialects.Fault{Kind: dialects.WrongType, At: "/etag", Detail: "want the eTag of a reply"}
	}
	tag = `"` + strings.Trim(tag, `"`) + `"`
	if header := c.Header.Get("If-Match"); header != "" && header != tag {
		return &dialects.Fault{Kind: dialects.Invalid, At: "/etag", Detail: "If-Match names another version"}
	}
	c.Header.Set("If-Match", tag)
	return nil
}

// put makes or changes an object. What is absent keeps its value, and so do properties without a native name, each by itself: natively
// they are one field, which a PUT replaces and a PATCH merges.
func (b *body) put(c *dialects.Call, path string, as show) (dialects.Reply, error) {
	if err := b.acl(); err != nil {
		return dialects.Reply{}, err
	}
	if err := b.version(c); err != nil {
		return dialects.Reply{}, err
	}
	path += dialects.Path(c.Params["id"])
	if len(b.free) == 0 {
		answer, err := c.JSON(http.MethodPut, path, nil, b.native)
		return rendered(answer, err, as)
	}
	b.native["properties"] = b.free
	if c.Header.Get("If-Match") == "" { // it may be new
		only := c.Header.Get("If-None-Match") != ""
		if !only {
			c.Header.Set("If-None-Match", "*")
		}
		answer, err := c.JSON(http.MethodPut, path, nil, b.native)
		if refusal := refused(err); only || refusal == nil || refusal.Status != http.StatusPreconditionFailed {
			return rendered(answer, err, as)
		}
		c.Header.Del("If-None-Match")
	}
	answer, err := c.JSON(http.MethodPatch, path, nil, b.native)
	return rendered(answer, err, as)
}

// refused is the refusal that an error is, or nil.
func refused(err error) *dialects.Refusal {
	var refusal *dialects.Refusal
	errors.As(err, &refusal)
	return refusal
}

func putPrincipal(c *dialects.Call) (dialects.Reply, error) {
	b, err := read(c, []string{"name", "email", "phone", "picture", "settings"}, []string{"id", "roles", "acl", "accessAttributes", "etag"})
	if err != nil {
		return dialects.Reply{}, err
	}
	b.take("name", "name", "email", "email", "email", "username", "roles", "roles")
	return b.put(c, "/v1/users", principal)
}

func putClient(c *dialects.Call) (dialects.Reply, error) {
	b, err := read(c, clientNames(), []string{"id", "roles", "acl", "accessAttributes", "etag", "scopes", "tokenEndpointAuthMethod"})
	if err != nil {
		return dialects.Reply{}, err
	}
	b.take("name", "name", "description", "description", "redirectUris", "redirect_uris", "grantTypes", "grant_types", "roles", "roles",
		"tokenEndpointAuthMethod", "token_endpoint_auth_method")
	if raw, ok := b.members["scopes"]; ok {
		var scopes []string
		if err := dialects.Decode(raw, &scopes); err != nil {
			return dialects.Reply{}, &dialects.Fault{Kind: dialects.WrongType, At: "/scopes", Detail: "want a list of strings"}
		}
		b.native["scopes"] = nativeScopes(scopes)
	}
	return b.put(c, "/v1/applications", client)
}

func putRole(c *dialects.Call) (dialects.Reply, error) {
	b, err := read(c, nil, []string{"key", "description", "acl", "etag"})
	if err != nil {
		return dialects.Reply{}, err
	}
	b.take("key", "key", "description", "description")
	return b.put(c, "/v1/roles", role)
}

func putRoles(path string, as show) func(*dialects.Call) (dialects.Reply, error) {
	return func(c *dialects.Call) (dialects.Reply, error) {
		keys := []string{}
		if strings.HasPrefix(strings.TrimSpace(string(c.Body)), "[") {
			if err := c.Decode(&keys); err != nil {
				return dialects.Reply{}, err
			}
		} else {
			var in struct {
				Roles []string `json:"roles"`
			}
			if err := c.Decode(&in); err != nil {
				return dialects.Reply{}, err
			}
			if keys = in.Roles; keys == nil {
				return dialects.Reply{}, &dialects.Fault{Kind: dialects.Missing, At: "/roles", Detail: "the member is missing"}
			}
		}
		answer, err := c.JSON(http.MethodPatch, path+dialects.Path(c.Params["id"]), nil, object{"roles": keys})
		return rendered(answer, err, as)
	}
}

func resetPassword(c *dialects.Call) (dialects.Reply, error) {
	answer, err := c.JSON(http.MethodPost, "/v1/users"+dialects.Path(c.Params["id"])+"/password/reset", nil, nil)
	return rendered(answer, err, func(native object, _ string) object {
		shown := object{}
		copied(native, shown, "temporary_password", "temporaryPassword", "expires_at", "expiresAt")
		return shown
	})
}

// me shows the caller as a principal or a client. Whom another issuer names, and nobody here is, has an id alone.
func me(c *dialects.Call) (dialects.Reply, error) {
	answer, err := c.JSON(http.MethodGet, "/v1/me", nil, nil)
	return rendered(answer, err, func(native object, etag string) object {
		if user, ok := native["user"].(object); ok {
			return principal(user, etag)
		}
		if application, ok := native["application"].(object); ok {
			return client(application, etag)
		}
		kind := "client"
		if native["type"] == "user" {
			kind = "principal"
		}
		return object{"type": kind, "id": native["id"]}
	})
}

func postPassword(c *dialects.Call) (dialects.Reply, error) {
	b, err := read(c, nil, []string{"currentPassword", "newPassword"})
	if err != nil {
		return dialects.Reply{}, err
	}
	b.take("currentPassword", "current_password", "newPassword", "new_password")
	answer, err := c.JSON(http.MethodPost, "/v1/me/password", nil, b.native)
	if err != nil {
		return dialects.Reply{}, err
	}
	return dialects.Reply{Status: answer.Status}, nil
}
