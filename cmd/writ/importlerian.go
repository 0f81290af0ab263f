package main

import (
	"bytes"
	"strings"
)

// fromLerian reads what Lerian Access Manager knows: the list of groups with their users, as its GET /v1/groups gives it, the Casbin rows that
// say what each may, or both as {"groups": [...], "policies": [...]}. A row is a line of text, a list, or a row of Casbin's table (ptype, v0...).
// There a slash is a character like any other and users/password is not below users, so it becomes a dot here. A user is known by
// owner/name there, and by name here. Groups become groups; users who are there become their members.
func fromLerian(file string, content []byte, prefix string) ([]*object, []string, error) {
	if first := bytes.TrimSpace(content); len(first) > 0 && first[0] != '{' && first[0] != '[' {
		rows, err := casbinRows(file, content)
		if err != nil {
			return nil, nil, err
		}
		c := &casbin{prefix: prefix, exact: true}
		c.take(rows)
		return c.sorted(file)
	}
	doc, err := readForeign(file, content)
	if err != nil {
		return nil, nil, err
	}
	c := &casbin{prefix: prefix, exact: true, groups: map[string]*object{}}
	groups := doc
	if doc.has("groups") || doc.has("policies") {
		doc.known("groups", "policies")
		groups = doc.member("groups")
	} else if doc.has("items") {
		doc.known("items", "page", "limit", "total")
		groups = doc.member("items")
	}
	for _, g := range groups.items() {
		lerianGroup(g, c.groups)
	}
	var rows []casbinRow
	for _, r := range doc.member("policies").items() {
		rows = append(rows, lerianRow(r))
	}
	if doc.doc.fault == nil {
		c.gathered = doc.doc.gathered
		c.take(rows)
		doc.doc.gathered = c.gathered
	}
	return doc.doc.objects()
}

func lerianGroup(g part, groups map[string]*object) {
	if !g.known("id", "name", "description", "createdAt", "updatedAt", "users") {
		return
	}
	id := g.member("id").id()
	o := g.once("groups", id, map[string]any{"id": id, "name": id})
	o.copied(g, [2]string{"name", "name"}, [2]string{"description", "description"})
	groups[id] = o
	for _, u := range g.member("users").items() {
		name := u
		if _, ok := u.value.(map[string]any); ok {
			for _, key := range []string{"username", "email", "id"} {
				if name = u.member(key); name.given() {
					break
				}
			}
		}
		known := exactSubject(name.text())
		if known == "" {
			u.fail("want the name of a user, or an object with username, email or id")
			continue
		}
		userNamed(&g.doc.gathered, known, u.at()).push("add_groups", id)
	}
}

// lerianRow is a row of a policy in one of the forms in which Casbin's adapters write it.
func lerianRow(r part) casbinRow {
	var fields []string
	switch r.value.(type) {
	case string:
		for _, field := range strings.Split(r.text(), ",") {
			fields = append(fields, strings.TrimSpace(field))
		}
	case []any:
		for _, field := range r.items() {
			fields = append(fields, field.text())
		}
	default:
		if !r.known("id", "ptype", "v0", "v1", "v2", "v3", "v4", "v5") {
			return casbinRow{}
		}
		for _, key := range []string{"ptype", "v0", "v1", "v2", "v3", "v4", "v5"} {
			fields = append(fields, r.member(key).text())
		}
		for len(fields) > 0 && fields[len(fields)-1] == "" {
			fields = fields[:len(fields)-1]
		}
	}
	row := casbinRow{at: r.at()}
	if text := row.fill(fields); text != "" {
		r.fail("%s", text)
	}
	return row
}

// exactSubject takes the owner from a subject: owner/name is name here.
func exactSubject(subject string) string { return subject[strings.LastIndexByte(subject, '/')+1:] }

// exactResource makes one segment of what may have slashes.
func exactResource(object string) (string, bool) {
	if object == "*" {
		return "*", true
	}
	resource := strings.ReplaceAll(strings.Trim(object, "/"), "/", ".")
	return resource, segment.MatchString(resource)
}
