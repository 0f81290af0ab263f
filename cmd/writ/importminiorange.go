package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/writ-authz/writ/identity"
)

// sshKey is the client credential of miniOrange that may not be deleted there. Protected objects are declared where a server starts, and no
// import makes one.
const sshKey = "mo-ssh-microservice-communication-key"

// fromMiniOrange reads a list of client credentials of miniOrange PAM with their capabilities. Each is an application in the tenant of its
// customer; users.user.view is the scope and the grant users/user:view. Capabilities are a list of texts, or an object as the claim
// "scopes" of their tokens has it, whose leaves are true or false. Of a secret only a verifier is sent.
func fromMiniOrange(file string, content []byte, _ string) ([]*object, []string, error) {
	doc, err := readForeign(file, content)
	if err != nil {
		return nil, nil, err
	}
	list := doc
	if doc.has("client_credentials") {
		doc.known("client_credentials")
		list = doc.member("client_credentials")
	}
	for _, cred := range list.items() {
		if err := miniOrangeClient(cred); err != nil {
			return nil, nil, err
		}
	}
	return doc.doc.objects()
}

func miniOrangeClient(cred part) error {
	if !cred.known("client_name", "name", "client_id", "id", "client_secret", "customer_id", "customer", "valid_from", "valid_till",
		"capabilities", "scopes", "grant_type") {
		return nil
	}
	name := cred.oneOf("client_name", "name")
	id := cred.oneOf("client_id", "id").id()
	if id == sshKey || name.value == sshKey {
		cred.left("the credential %s may not be deleted, and no import makes such: declare it in WRIT_BOOTSTRAP_FILE with protected: true", sshKey)
		return nil
	}
	if kind := cred.member("grant_type"); kind.given() && kind.text() != "client_credentials" {
		kind.fail("a client credential has the grant type client_credentials")
	}
	o := cred.once("applications", id, map[string]any{
		"id": id, "name": id, "grant_types": []any{"client_credentials"}, "retrievable": false, "scopes": []any{}, "grants": []any{},
	})
	if name.given() {
		o.take("name", name, name.text())
	}
	o.copied(cred, [2]string{"valid_from", "not_before"}, [2]string{"valid_till", "not_after"})
	tenant := ""
	if customer := cred.oneOf("customer_id", "customer"); customer.given() {
		tenant = customer.id()
		o.take("tenant", customer, tenant)
		cred.doc.object("tenants", tenant, customer.at(), map[string]any{"id": tenant, "name": tenant})
	}
	said := cred.oneOf("capabilities", "scopes")
	o.places["/scopes"], o.places["/grants"] = said.at(), said.at()
	for _, c := range capabilities(said, "") {
		o.capability(c, tenant)
	}
	return o.secret(cred.member("client_secret"), "credential "+id)
}

// saidCapability is a capability and where it stands.
type saidCapability struct {
	part
	name string
}

// capabilities are those of a list, or the leaves of an object that are true.
func capabilities(p part, above string) []saidCapability {
	var found []saidCapability
	if list, ok := p.value.([]any); ok || !p.given() {
		found = make([]saidCapability, 0, len(list))
		for _, item := range p.items() {
			found = append(found, saidCapability{item, item.text()})
		}
		return found
	}
	for _, key := range p.keys() {
		m, name := p.member(key), strings.TrimPrefix(above+"."+key, ".")
		if _, deeper := m.value.(map[string]any); deeper {
			found = append(found, capabilities(m, name)...)
		} else if m.truth() {
			found = append(found, saidCapability{m, name})
		}
	}
	return found
}

// capability gives a capability a.b.verb as the permission a/b:verb.
func (o *object) capability(c saidCapability, tenant string) {
	parts := strings.Split(c.name, ".")
	last := len(parts) - 1
	if last < 1 || slices.ContainsFunc(parts, func(s string) bool { return !segment.MatchString(s) }) {
		c.fail("%q is no capability; want names joined by dots, the last of which is what may be done, such as users.user.view", c.name)
		return
	}
	resource, action := strings.Join(parts[:last], "/"), parts[last]
	grant := map[string]any{"resource": resource, "action": action}
	if tenant != "" {
		grant["tenant"] = tenant
	}
	o.push("scopes", resource+":"+action)
	o.push("grants", grant)
}

// secret lets an application go on with the secret that it has, of which only a verifier is sent.
func (o *object) secret(p part, who string) error {
	switch secret := p.text(); {
	case secret == "":
		p.doc.leftOut = append(p.doc.leftOut, fmt.Sprintf("%s: the list has no secret of it; make one with writ app secret add", who))
	case len(secret) < leastCredential:
		p.fail("at least %d characters are wanted", leastCredential)
	case p.doc.fault == nil: // a verifier costs a slow hash, which a file with a fault does not need
		verifier, err := identity.NewVerifier(secret)
		if err != nil {
			return err
		}
		o.fields["secrets"] = []any{map[string]any{"id": "imported", "label": "imported", "verifier": verifier}}
	}
	return nil
}
