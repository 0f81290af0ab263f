package main

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"go.yaml.in/yaml/v3"
)

// importer reads another system's file into objects, and says what has no counterpart. prefix is the first segment of roles' keys.
type importer func(file string, content []byte, prefix string) (objects []*object, leftOut []string, err error)

func importers() map[string]importer {
	return map[string]importer{
		"casbin": fromCasbin, "policyserver": fromPolicyServer, "credentials": fromCredentials,
		"lerian": fromLerian, "miniorange": fromMiniOrange, "hantera": fromHantera,
	}
}

func importerNames() []string { return slices.Sorted(maps.Keys(importers())) }

// gathered are objects that are made from another file, each from the place where it is first named.
type gathered struct {
	byName  map[string]*object
	order   []*object
	leftOut []string
}

func (g *gathered) object(section, name string, at place, fields map[string]any) *object {
	key := section + " " + name
	if g.byName == nil {
		g.byName = map[string]*object{}
	}
	o := g.byName[key]
	if o == nil {
		o = &object{section: section, fields: fields, places: map[string]place{"": at}}
		g.byName[key] = o
		g.order = append(g.order, o)
	}
	return o
}

// push adds a value to a list of the object, once.
func (o *object) push(field string, value any) {
	list, _ := o.fields[field].([]any)
	same := func(other any) bool { return fmt.Sprint(other) == fmt.Sprint(value) }
	if !slices.ContainsFunc(list, same) {
		o.fields[field] = append(list, value)
	}
}

func (g *gathered) left(at place, format string, args ...any) {
	g.leftOut = append(g.leftOut, fmt.Sprintf("line %d: ", at.line)+fmt.Sprintf(format, args...))
}

// sorted are the objects in the order of a file, roles behind those that they inherit from.
func (g *gathered) sorted(file string) ([]*object, []string, error) {
	bySection := map[string][]*object{}
	for _, o := range g.order {
		o.index = len(bySection[o.section])
		bySection[o.section] = append(bySection[o.section], o)
	}
	roles, err := inherited(file, bySection["roles"])
	if err != nil {
		return nil, nil, err
	}
	bySection["roles"] = roles
	var all []*object
	for _, s := range sections() {
		all = append(all, bySection[s[0]]...)
	}
	return all, g.leftOut, nil
}

var segment = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

// roleKey makes the key of a role from the names of another system, or "".
func roleKey(parts ...string) string {
	for i, part := range parts {
		parts[i] = strings.ToLower(part)
		if part == "*" {
			parts[i] = "all"
		}
		if !segment.MatchString(parts[i]) {
			return ""
		}
	}
	return strings.Join(parts, ":")
}

// fromCasbin reads the policy of a Casbin model with roles: "p, subject, object, action" and "g, subject, role", both also with a domain
// ("p, subject, domain, object, action"; "g, subject, role, domain"), which is a tenant here. A name is a role if a g row gives it, or if
// it has rights and nobody is given it; any other is a user, known by its username.
func fromCasbin(file string, content []byte, prefix string) ([]*object, []string, error) {
	rows, err := casbinRows(file, content)
	if err != nil {
		return nil, nil, err
	}
	c := &casbin{prefix: prefix}
	c.take(rows)
	return c.sorted(file)
}

type casbinRow struct {
	kind, subject, role, domain, object, action, effect string
	at                                                  place
}

func casbinRows(file string, content []byte) ([]casbinRow, error) {
	reader := csv.NewReader(bytes.NewReader(content))
	reader.FieldsPerRecord, reader.TrimLeadingSpace, reader.Comment = -1, true, '#'
	var rows []casbinRow
	for {
		fields, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, &fileFault{file: file, text: err.Error()}
		}
		line, column := reader.FieldPos(0)
		row := casbinRow{at: place{line, column}}
		for i := range fields {
			fields[i] = strings.TrimSpace(fields[i])
		}
		if text := row.fill(fields); text != "" {
			return nil, &fileFault{file: file, at: row.at, text: text}
		}
		rows = append(rows, row)
	}
	if len(rows) == 0 {
		return nil, &fileFault{file: file, text: "there is no p or g row in it"}
	}
	return rows, nil
}

// fill takes the fields of a row, or says what is wrong with them.
func (row *casbinRow) fill(fields []string) string {
	wanted := "want p, subject, [domain,] object, action or g, subject, role[, domain]"
	if len(fields) == 0 {
		return wanted
	}
	row.kind = fields[0]
	rest := fields[1:]
	if n := len(rest); row.kind == "p" && n > 3 && slices.Contains([]string{"allow", "deny"}, rest[n-1]) {
		row.effect, rest = rest[n-1], rest[:n-1]
	}
	switch {
	case slices.Contains(rest, ""):
		return "a field is empty"
	case row.kind == "p" && len(rest) == 3:
		row.subject, row.object, row.action = rest[0], rest[1], rest[2]
	case row.kind == "p" && len(rest) == 4:
		row.subject, row.domain, row.object, row.action = rest[0], rest[1], rest[2], rest[3]
	case row.kind == "g" && len(rest) == 2:
		row.subject, row.role = rest[0], rest[1]
	case row.kind == "g" && len(rest) == 3:
		row.subject, row.role, row.domain = rest[0], rest[1], rest[2]
	default:
		return wanted
	}
	return ""
}

type casbin struct {
	gathered
	prefix  string
	given   map[string]bool    // names that are given to others
	members map[string]bool    // names that are given something
	groups  map[string]*object // groups that stand beside the rows, by id
	exact   bool               // objects are compared letter by letter: a slash makes no path
}

// take makes objects of the rows.
func (c *casbin) take(rows []casbinRow) {
	c.given, c.members = map[string]bool{}, map[string]bool{}
	for i, row := range rows {
		if c.exact {
			rows[i].subject, rows[i].role = exactSubject(row.subject), exactSubject(row.role)
		}
		if row.kind == "g" {
			c.given[rows[i].role], c.members[rows[i].subject] = true, true
		}
	}
	for _, row := range rows {
		if row.kind == "p" {
			c.right(row)
		} else {
			c.membership(row)
		}
	}
}

func (c *casbin) isRole(name string) bool { return c.given[name] || !c.members[name] }

func (c *casbin) role(name, domain string, at place) *object {
	parts := []string{c.prefix, name}
	if domain != "" {
		parts = []string{c.prefix, domain, name}
	}
	key := roleKey(parts...)
	if key == "" {
		c.left(at, "%q cannot be the name of a role", name)
		return nil
	}
	o := c.object("roles", key, at, map[string]any{"key": key, "description": "Casbin: " + name})
	if said := o.text("description"); said != "Casbin: "+name {
		c.left(at, "%q and %s have the same key; they are kept as one role", name, strings.TrimPrefix(said, "Casbin: "))
	}
	return o
}

func (c *casbin) tenant(domain string, at place) bool {
	if domain == "" || domain == "*" {
		return true
	}
	if !segment.MatchString(domain) {
		c.left(at, "the domain %q cannot be the id of a tenant", domain)
		return false
	}
	c.object("tenants", domain, at, map[string]any{"id": domain, "name": domain})
	return true
}

// right is a p row: a grant of a role, or of a user itself.
func (c *casbin) right(row casbinRow) {
	resource, ok := casbinResource(row.object)
	if c.exact {
		resource, ok = exactResource(row.object)
	}
	action := row.action
	if action == ".*" {
		action = "*"
	}
	switch {
	case row.effect == "deny":
		c.left(row.at, "a deny of %s %s for %s: grants only permit; write it as a rule", row.action, row.object, row.subject)
		return
	case !ok || action != "*" && !segment.MatchString(action):
		c.left(row.at, "%s on %s is a pattern, not a path and an action", row.action, row.object)
		return
	case !c.tenant(row.domain, row.at):
		return
	}
	grant := map[string]any{"resource": resource, "action": action}
	if row.domain != "" {
		grant["tenant"] = row.domain
	}
	group := c.groups[row.subject]
	if group == nil && !c.isRole(row.subject) {
		userNamed(&c.gathered, row.subject, row.at).push("add_grants", grant)
		return
	}
	if role := c.role(row.subject, row.domain, row.at); role != nil {
		role.push("grants", grant)
		if group != nil {
			group.push("roles", role.text("key")) // a group has no grants of its own
		}
	}
}

// userNamed is a user who is there, by id or by username.
func userNamed(g *gathered, name string, at place) *object {
	if _, err := uuid.Parse(name); err == nil && len(name) == 36 {
		return g.object("users", strings.ToLower(name), at, map[string]any{"id": strings.ToLower(name)})
	}
	return g.object("users", name, at, map[string]any{"username": name})
}

// casbinResource takes the leading slash from a path, and the pattern for everything below, which a grant covers anyway.
func casbinResource(object string) (string, bool) {
	if object == "*" || object == "/*" || object == ".*" {
		return "*", true
	}
	path := strings.TrimSuffix(strings.TrimPrefix(object, "/"), "/*")
	for _, part := range strings.Split(path, "/") {
		if !segment.MatchString(part) {
			return "", false
		}
	}
	return path, true
}

// membership is a g row: a role of a role, or of a user.
func (c *casbin) membership(row casbinRow) {
	if !c.tenant(row.domain, row.at) {
		return
	}
	if c.groups[row.role] != nil && c.groups[row.subject] == nil {
		userNamed(&c.gathered, row.subject, row.at).push("add_groups", row.role)
		return
	}
	role := c.role(row.role, row.domain, row.at)
	if role == nil {
		return
	}
	if group := c.groups[row.subject]; group != nil {
		group.push("roles", role.text("key"))
		return
	}
	if c.given[row.subject] {
		if heir := c.role(row.subject, row.domain, row.at); heir != nil {
			heir.push("inherits", role.text("key"))
		}
		return
	}
	userNamed(&c.gathered, row.subject, row.at).push("add_roles", role.text("key"))
}

// policyServerFile is the configuration of PolicyServer.Local, alone or inside an application's settings.
type policyServerFile struct {
	Roles []struct {
		Name          string   `yaml:"name"`
		Subjects      []string `yaml:"subjects"`
		IdentityRoles []string `yaml:"identityRoles"`
	} `yaml:"roles"`
	Permissions []struct {
		Name  string   `yaml:"name"`
		Roles []string `yaml:"roles"`
	} `yaml:"permissions"`
}

// fromPolicyServer reads the roles and permissions of PolicyServer.Local. Permission P becomes policy:P; a subject is a user, by id or by
// username. A role of the identity provider is not a user: it is told.
func fromPolicyServer(file string, content []byte, prefix string) ([]*object, []string, error) {
	var outer map[string]yaml.Node
	if err := yaml.Unmarshal(content, &outer); err != nil {
		return nil, nil, &fileFault{file: file, text: strings.TrimPrefix(err.Error(), "yaml: ")}
	}
	var at place
	var in policyServerFile
	found := false
	for name, node := range outer {
		if !strings.EqualFold(name, "PolicyServer") && !strings.EqualFold(name, "Policy") {
			continue
		}
		raw, err := yaml.Marshal(&node)
		if err != nil {
			return nil, nil, err
		}
		decoder := yaml.NewDecoder(bytes.NewReader(raw))
		decoder.KnownFields(true)
		if err := decoder.Decode(&in); err != nil {
			return nil, nil, &fileFault{file: file, at: placeOf(&node), pointer: "/" + name, text: strings.TrimPrefix(err.Error(), "yaml: ")}
		}
		at, found = placeOf(&node), true
	}
	if !found || len(in.Roles) == 0 {
		return nil, nil, &fileFault{file: file, text: "want an object PolicyServer (or Policy) with roles and permissions"}
	}
	g := &gathered{}
	keys := map[string]string{}
	for _, role := range in.Roles {
		key := roleKey(prefix, role.Name)
		if key == "" || keys[role.Name] != "" || g.byName["roles "+key] != nil {
			return nil, nil, &fileFault{file: file, at: at, pointer: "/roles", text: "the role " + strconv.Quote(role.Name) + " has a name that is used twice or cannot be a key"}
		}
		keys[role.Name] = key
		g.object("roles", key, at, map[string]any{"key": key, "description": "PolicyServer: " + role.Name, "grants": []any{}})
		for _, subject := range role.Subjects {
			userNamed(g, subject, at).push("add_roles", key)
		}
		for _, name := range role.IdentityRoles {
			g.left(at, "who has the role %q of the identity provider has %s: give %s to those users, or to a group of them", name, role.Name, key)
		}
	}
	for _, permission := range in.Permissions {
		if !segment.MatchString(permission.Name) {
			return nil, nil, &fileFault{file: file, at: at, pointer: "/permissions", text: strconv.Quote(permission.Name) + " cannot be the name of an action"}
		}
		for _, name := range permission.Roles {
			if keys[name] == "" {
				return nil, nil, &fileFault{file: file, at: at, pointer: "/permissions", text: permission.Name + " names the role " + strconv.Quote(name) + ", which the file does not have"}
			}
			g.byName["roles "+keys[name]].push("grants", map[string]any{"resource": "policy", "action": permission.Name})
		}
	}
	return g.sorted(file)
}

// leastCredential is the least number of characters of a password that comes along.
const leastCredential = 12

// fromCredentials reads a list of credentials. Each is an application: scopes are grants in every tenant, tenants grants in one, "READ JOBS"
// is jobs:read, and WRITE CREDENTIALS both rights over applications. Of a password only a verifier is sent.
func fromCredentials(file string, content []byte, _ string) ([]*object, []string, error) {
	doc, err := readForeign(file, content)
	if err != nil {
		return nil, nil, err
	}
	list := doc
	if doc.has("credentials") {
		doc.known("credentials")
		list = doc.member("credentials")
	}
	for _, cred := range list.items() {
		if !cred.known("id", "password", "is_active", "tenants", "scopes") {
			continue
		}
		id := cred.member("id").id()
		o := cred.once("applications", id, map[string]any{
			"id": id, "name": id, "grants": []any{}, "scopes": []any{"*:*"}, "grant_types": []any{"client_credentials"}, "retrievable": false,
		})
		if active := cred.member("is_active"); active.given() {
			o.take("is_active", active, active.truth())
		}
		for _, pair := range cred.member("scopes").items() {
			o.grant(pair, "*")
		}
		tenants := cred.member("tenants")
		for _, tenant := range tenants.keys() {
			t := tenants.member(tenant)
			if !segment.MatchString(tenant) {
				t.fail("%q cannot be the id of a tenant", tenant)
				continue
			}
			cred.doc.object("tenants", tenant, t.at(), map[string]any{"id": tenant, "name": tenant})
			for _, pair := range t.items() {
				o.grant(pair, tenant)
			}
		}
		if err := o.secret(cred.member("password"), "credential "+id); err != nil {
			return nil, nil, err
		}
	}
	return doc.doc.objects()
}

// grant gives what a pair of a verb and a subject says, in a tenant.
func (o *object) grant(pair part, tenant string) {
	if !pair.known("verb", "subject") {
		return
	}
	verb, subject := pair.member("verb").text(), pair.member("subject").text()
	if verb != "READ" && verb != "WRITE" || !segment.MatchString(subject) {
		pair.fail("%q %q is no verb (READ, WRITE) and subject", verb, subject)
		return
	}
	resource, actions := strings.ToLower(subject), []string{strings.ToLower(verb)}
	if subject == "CREDENTIALS" {
		resource = "iam/applications"
		if verb == "WRITE" {
			actions = append(actions, "write_scopes")
		}
	}
	for _, action := range actions {
		o.push("grants", map[string]any{"tenant": tenant, "resource": resource, "action": action})
	}
}
