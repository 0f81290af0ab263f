package e2e

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"pgregory.net/rapid"
)

// What random objects are made of, and how each dialect shows them. The views are written from the tables of the dialects' documents and
// share nothing with the adapters.

// words is a text for people.
func (p *trip) words(label string, least int) string {
	letters := []rune("aB1 é\u0308ßЖ漢🙂\u200f<>&\"'\\/.~*%+,;:|-_")
	return rapid.StringOfN(rapid.SampledFrom(letters), least, 12, -1).Draw(p.rt, label)
}

// free is a JSON object of one's own: numbers that no float holds, nulls, and other kinds of values than a reader may expect.
func (p *trip) free(label string, names ...string) object {
	o := object{}
	for _, name := range some(p, label+" names", append(names, "team", "näme", "a/b~c", "nested")) {
		o[name] = p.value(label+" "+name, 2)
	}
	return o
}

func (p *trip) value(label string, depth int) any {
	kinds := []string{"text", "number", "truth", "null"}
	if depth > 0 {
		kinds = append(kinds, "object", "list")
	}
	switch among(p, label+" kind", kinds...) {
	case "number":
		return json.Number(among(p, label, "0", "-1", "1.50", "12345678901234567890", "1e400", "0.1e-9"))
	case "truth":
		return rapid.Bool().Draw(p.rt, label)
	case "null":
		return nil
	case "object":
		return object{"inner": p.value(label, depth-1)}
	case "list":
		return list{p.value(label, depth-1), p.words(label, 0)}
	}
	return p.words(label, 0)
}

// rightsPool are permissions of which identities get some; those that a dialect names together are held together.
func rightsPool() [][]string {
	return [][]string{
		{"jobs:read"},
		{"jobs:write"},
		{"content:read"},
		{"content:write"},
		{"iam/applications:read"},
		{"iam/applications:write", "iam/applications:write_scopes"},
		{"iam/tenants:read"},
		{"iam/tenants:write", "iam/tenants:delete"},
		{"iam/users:read"},
		{"iam/users:write", "iam/users:reset_password"},
		{"iam:read"},
		{"ledger/a.b-c:post"},
		{"ledger:*"},
	}
}

// rights are random grants: of no tenant, of all, of one, and with a window.
func (p *trip) rights(label string) list {
	out := list{}
	for i := range rapid.IntRange(0, 5).Draw(p.rt, label) {
		tenant := among(p, label+" tenant", "", "", "*", p.tenants[0], p.tenants[1])
		windowed := p.chance(label+" window", 20)
		for _, permission := range among(p, label+" right", rightsPool()...) {
			resource, action, _ := strings.Cut(permission, ":")
			g := object{"resource": resource, "action": action}
			if tenant != "" {
				g["tenant"] = tenant
			}
			if windowed {
				g["not_after"] = "2090-01-02T03:04:05.00" + string(rune('1'+i)) + "Z"
			}
			if !contains(out, g) {
				out = append(out, g)
			}
		}
	}
	return out
}

func contains(all list, one object) bool {
	for _, g := range all {
		if g, ok := g.(object); ok && len(g) == len(one) && g["resource"] == one["resource"] && g["action"] == one["action"] &&
			g["tenant"] == one["tenant"] && g["not_after"] == one["not_after"] {
			return true
		}
	}
	return false
}

// anyway are the fields that people and applications have in common; each is there or not.
func (p *trip) anyway(properties ...string) object {
	all := object{
		"roles": toList(some(p, "roles", p.roles)), "groups": toList(some(p, "groups", p.groups)), "grants": p.rights("grants"),
		"properties": p.free("properties", properties...), "attributes": p.free("attributes", "client_name", "department"),
		"tenant": among(p, "tenant", p.tenants...), "not_before": among(p, "from", "2020-02-29T12:00:00Z", "2080-01-01T00:00:00.5Z"),
		"not_after": "2090-12-31T23:59:59.999Z", "addresses": list{"192.0.2.0/24", "2001:db8::/32"},
	}
	return p.partly(all)
}

// partly keeps some members.
func (p *trip) partly(all object) object {
	o := object{}
	for _, name := range some(p, "members", slices.Sorted(maps.Keys(all))) {
		o[name] = all[name]
	}
	return o
}

func toList(texts []string) list {
	out := list{}
	for _, text := range texts {
		out = append(out, text)
	}
	return out
}

// whole is a native object as it is shown: what was said of it, and what stands where nothing was said.
func whole(said, otherwise object) object {
	o := merge(otherwise, said)
	for _, name := range []string{"properties", "attributes"} {
		if given, ok := o[name].(object); ok && len(given) == 0 {
			o[name] = object{}
		}
	}
	return o
}

func wholeUser(said object) object {
	o := whole(said, object{
		"name": "", "groups": list{}, "roles": list{}, "grants": list{}, "properties": object{}, "attributes": object{}, "protected": false,
	})
	delete(o, "password_hash")
	delete(o, "password")
	return o
}

func wholeApplication(said object) object {
	return whole(said, object{
		"description": "", "groups": list{}, "roles": list{}, "grants": list{}, "grant_types": list{"client_credentials"}, "scopes": nil,
		"audiences": nil, "serves": list{}, "token_format": "jwt", "token_signing_alg": "ES256", "refresh_rotation": true,
		"redirect_uris": list{}, "is_active": true, "retrievable": true, "properties": object{}, "attributes": object{}, "protected": false,
	})
}

// The dialect lerian.

// lerianUser: the two names are those that the properties keep, as long as they make up the name; else its last word is the last name.
func lerianUser(id string, native, got object) object {
	name, _ := native["name"].(string)
	properties, _ := native["properties"].(object)
	first, kept := text(properties, "first_name")
	last, keptToo := text(properties, "last_name")
	if !kept || !keptToo || strings.TrimSpace(first+" "+last) != name {
		first, last = name, ""
		if words := strings.Split(name, " "); len(words) > 1 {
			first, last = strings.Join(words[:len(words)-1], " "), words[len(words)-1]
		}
		if first == "" {
			first, last = name, ""
		}
	}
	return object{
		"id": id, "username": native["username"], "firstName": first, "lastName": last, "email": native["email"], "groups": native["groups"],
		"createdAt": got["created_at"],
	}
}

// text is a member that is a text or absent.
func text(o object, name string) (string, bool) {
	value, there := o[name]
	said, isText := value.(string)
	return said, isText || !there
}

func lerianApplication(id string, native, got object, secret string) object {
	return object{
		"id": id, "clientId": id, "name": native["name"], "description": native["description"], "clientSecret": secret, "createdAt": got["created_at"],
	}
}

// The dialect hantera. Its replies have more members than these.

// hanteraName is how hantera calls a resource of Writ's.
func hanteraName(resource string) string {
	for native, named := range map[string]string{"iam/users": "iam/principals", "iam/applications": "iam/clients"} {
		if resource == native || strings.HasPrefix(resource, native+"/") {
			return named + strings.TrimPrefix(resource, native)
		}
	}
	return resource
}

// hanteraEntries are the grants without tenant and window; what writing brings with it is no entry of its own.
func hanteraEntries(grants any) list {
	entries := list{}
	all, _ := grants.(list)
	for _, item := range all {
		g := item.(object)
		resource, action := g["resource"].(string), g["action"].(string)
		brought := resource == "iam/users" && action == "reset_password" || resource == "iam/applications" && action == "write_scopes"
		if len(g) == 2 && !brought {
			entries = append(entries, object{"resource": hanteraName(resource), "permission": action})
		}
	}
	return entries
}

// withoutNulls is what a merge patch makes of an object that is patched with itself.
func withoutNulls(o object) object {
	kept := object{}
	for name, value := range o {
		if below, ok := value.(object); ok {
			value = withoutNulls(below)
		}
		if value != nil {
			kept[name] = value
		}
	}
	return kept
}

// hanteraScopes are scopes as hantera has them; what writing brings with it is no scope of its own.
func hanteraScopes(native any) any {
	all, ok := native.(list)
	if !ok {
		return nil
	}
	shown := list{}
	for _, item := range all {
		resource, action, _ := strings.Cut(item.(string), ":")
		brings := map[string]string{"iam/users": "reset_password", "iam/applications": "write_scopes"}[resource]
		if action != brings || !slices.Contains(all, any(resource+":write")) {
			shown = append(shown, hanteraName(resource)+":"+action)
		}
	}
	return shown
}

func hanteraPrincipal(id string, native, got object) object {
	properties, _ := native["properties"].(object)
	return object{
		"id": id, "name": native["name"], "email": native["email"], "roles": native["roles"], "suspendedAt": native["suspended_at"],
		"acl": object{"entries": hanteraEntries(native["grants"])}, "createdAt": got["created_at"], "phone": properties["phone"],
		"picture": properties["picture"], "settings": properties["settings"],
		"properties": merge(properties, object{"name": native["name"], "email": native["email"]}),
	}
}

func hanteraClient(id string, native, got object) object {
	named := object{
		"name": native["name"], "description": native["description"], "redirectUris": native["redirect_uris"], "grantTypes": native["grant_types"],
	}
	if scopes := hanteraScopes(native["scopes"]); scopes != nil {
		named["scopes"] = scopes
	}
	if method := native["token_endpoint_auth_method"]; method != nil {
		named["tokenEndpointAuthMethod"] = method
	}
	properties, _ := native["properties"].(object)
	return merge(named, object{
		"id": id, "scopes": hanteraScopes(native["scopes"]), "tokenEndpointAuthMethod": native["token_endpoint_auth_method"], "roles": native["roles"], "acl": object{"entries": hanteraEntries(native["grants"])}, "createdAt": got["created_at"],
		"properties": merge(properties, named),
	})
}

// The dialect rustici.

// rusticiRights is its table of rights, in its order.
func rusticiRights() [][]string {
	return [][]string{
		{"READ JOBS", "jobs:read"},
		{"WRITE JOBS", "jobs:write"},
		{"READ CONTENT", "content:read"},
		{"WRITE CONTENT", "content:write"},
		{"READ CREDENTIALS", "iam/applications:read"},
		{"WRITE CREDENTIALS", "iam/applications:write", "iam/applications:write_scopes"},
		{"READ APP_MANAGEMENT", "iam/tenants:read"},
		{"WRITE APP_MANAGEMENT", "iam/tenants:write", "iam/tenants:delete"},
	}
}

// rusticiPairs are the rights of a tenant that the table has a pair for.
func rusticiPairs(all list, tenant string) list {
	held := map[string]bool{}
	for _, item := range all {
		g := item.(object)
		if g["tenant"] == tenant && len(g) == 3 {
			held[g["resource"].(string)+":"+g["action"].(string)] = true
		}
	}
	var rights []string
	for _, row := range rusticiRights() {
		whole := true
		for _, permission := range row[1:] {
			whole = whole && held[permission]
		}
		if whole {
			rights = append(rights, row[0])
		}
	}
	return pairs(rights...)
}

// rusticiGrants are the grants that rights in a tenant amount to.
func rusticiGrants(rights []string, tenant string) list {
	out := list{}
	for _, right := range rights {
		for _, row := range rusticiRights() {
			if row[0] == right {
				for _, permission := range row[1:] {
					resource, action, _ := strings.Cut(permission, ":")
					out = append(out, object{"resource": resource, "action": action, "tenant": tenant})
				}
			}
		}
	}
	return out
}

func (p *trip) rusticiCredential(id string, native object) object {
	all, _ := native["grants"].(list)
	tenants := object{}
	for _, tenant := range p.tenants {
		if pairs := rusticiPairs(all, tenant); len(pairs) > 0 {
			tenants[tenant] = pairs
		}
	}
	active, isApplication := native["is_active"].(bool)
	if !isApplication {
		active = native["suspended_at"] == nil
	}
	return object{"id": id, "is_active": active, "scopes": rusticiPairs(all, "*"), "tenants": tenants}
}
