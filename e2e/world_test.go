package e2e

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// app is an application as its creator knows it; user a person.
type (
	app  struct{ ID, Secret, SecretID, ETag string }
	user struct{ ID, Username, Password, ETag string }
)

// root makes the scenario act as the application root, by a token.
func (c *scenario) root() *scenario {
	return c.as(bearer(once(c, "root", func() string { return c.token(app{ID: "root", Secret: c.s.Secret}) })))
}

// owner makes the scenario act as a person who is a full administrator and has just logged in.
func (c *scenario) owner() *scenario {
	type owner struct {
		front app
		who   user
	}
	o := once(c, "owner", func() owner {
		was := c.auth
		c.as(basic("root", c.s.Secret))
		o := owner{c.newApp(object{"name": "owner's front end", "grant_types": list{"password"}}), c.newUser(object{"roles": list{"system:owner"}})}
		c.auth = was
		return o
	})
	// A login is fresh for five minutes, and the tests of one server take longer.
	const kept = 2 * time.Minute
	return c.as(bearer(once(c, "owner "+strconv.FormatInt(time.Now().UnixNano()/int64(kept), 10), func() string { return c.login(o.front, o.who) })))
}

// front returns an application through which people log in.
func (c *scenario) front() app {
	return once(c, "front", func() app {
		was := c.auth
		c.as(basic("root", c.s.Secret))
		front := c.newApp(object{"name": "front end", "grant_types": list{"password"}})
		c.auth = was
		return front
	})
}

// newApp creates an application; client_credentials is its grant type unless the body says otherwise.
func (c *scenario) newApp(body object) app {
	full := object{"name": unique("app"), "grant_types": list{"client_credentials"}}
	for k, v := range body {
		full[k] = v
	}
	c.post("/v1/applications", full).wantStatus(201)
	return app{ID: c.text("/id"), Secret: c.text("/secret/value"), SecretID: c.text("/secret/id"), ETag: c.header("ETag")}
}

// newUser creates a person with a password.
func (c *scenario) newUser(body object) user {
	u := user{Username: unique("ada"), Password: password()}
	full := object{"username": u.Username, "email": u.Username + "@example.com", "name": "Ada", "password": u.Password}
	for k, v := range body {
		full[k] = v
	}
	c.post("/v1/users", full).wantStatus(201)
	u.ID, u.ETag = c.text("/id"), c.header("ETag")
	if name, ok := full["username"].(string); ok {
		u.Username = name
	}
	return u
}

// newRole creates a role of the given grants ("resource:action").
func (c *scenario) newRole(permissions ...string) string {
	key := "e2e:" + unique("role")
	c.put("/v1/roles/"+key, object{"description": "for a test", "grants": grants(permissions...)}).wantStatus(201)
	return key
}

// newGroup creates a group that carries roles.
func (c *scenario) newGroup(roles ...string) string {
	id := unique("group")
	c.put("/v1/groups/"+id, object{"name": id, "roles": roles}).wantStatus(201)
	return id
}

// newTenant creates an enabled tenant.
func (c *scenario) newTenant() string {
	id := unique("tenant")
	c.put("/v1/tenants/"+id, object{"name": id, "enabled": true}).wantStatus(201)
	return id
}

// grants writes permissions as grants; "resource:action@tenant" is for that tenant.
func grants(permissions ...string) list {
	out := list{}
	for _, p := range permissions {
		p, tenant, inTenant := strings.Cut(p, "@")
		i := strings.LastIndexByte(p, ':')
		g := object{"resource": p[:i], "action": p[i+1:]}
		if inTenant {
			g["tenant"] = tenant
		}
		out = append(out, g)
	}
	return out
}

// token is an application's access token by client_credentials; pairs of names and values are added to the form.
func (c *scenario) token(a app, more ...string) string {
	c.ask(a, append([]string{"grant_type", "client_credentials"}, more...)...).wantStatus(200)
	return c.text("/access_token")
}

// login is a person's access token by the password grant.
func (c *scenario) login(front app, u user, more ...string) string {
	c.askLogin(front, u, more...).wantStatus(200)
	return c.text("/access_token")
}

func (c *scenario) askLogin(front app, u user, more ...string) *scenario {
	return c.ask(front, append([]string{"grant_type", "password", "username", u.Username, "password", u.Password},
		more...)...)
}

// ask sends a token request that the application authenticates with HTTP Basic.
func (c *scenario) ask(a app, pairs ...string) *scenario {
	return c.with("Authorization", basic(a.ID, a.Secret)).form("/oauth2/token", fields(pairs...))
}

func fields(pairs ...string) url.Values {
	f := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		f.Add(pairs[i], pairs[i+1])
	}
	return f
}

// question is the body of an evaluation; the subject is "user <id>" or the like, the resource a type and an id.
func question(subjectType, subject, action, resourceType, resource string) object {
	return object{
		"subject":  object{"type": subjectType, "id": subject},
		"action":   object{"name": action},
		"resource": object{"type": resourceType, "id": resource},
	}
}

// decides asks a question and demands its answer.
func (c *scenario) decides(q object, want bool) *scenario {
	return c.post("/access/v1/evaluation", q).wantStatus(200).want("/decision", want)
}

// withReasons asks for the reasons too.
func withReasons(q object) object {
	q["options"] = object{"reasons": true}
	return q
}

// live demands that an access token is accepted, dead that it is refused; both by a question about its own bearer.
func (c *scenario) live(token string) *scenario { return c.accepted(token, 200) }
func (c *scenario) dead(token string) *scenario { return c.accepted(token, 401) }

func (c *scenario) accepted(token string, status int) *scenario {
	was := c.auth
	defer func() { c.auth = was }()
	c.as(bearer(token)).onPublic().get("/v1/me").wantStatus(status)
	if status == 401 {
		c.wantUnauthorized()
	}
	return c
}

func upper(s string) string { return strings.ToUpper(s) }

// merge is a new object with the members of both; those of the second win.
func merge(a, b object) object {
	out := object{}
	for k, v := range a {
		out[k] = v
	}
	for k, v := range b {
		out[k] = v
	}
	return out
}

// decidesAs asks a question with another token.
func (c *scenario) decidesAs(token string, q object, want bool) *scenario {
	was := c.auth
	defer func() { c.auth = was }()
	return c.as(bearer(token)).decides(q, want)
}

// wantSet compares an array of texts at a pointer, in any order.
func (c *scenario) wantSet(pointer string, want ...string) *scenario {
	if c.err != nil {
		return c
	}
	v, _ := at(c.last.value(), pointer)
	array, ok := v.([]any)
	if !ok {
		return c.fail("no array at %s", pointer)
	}
	got := []string{}
	for _, item := range array {
		got = append(got, fmt.Sprint(item))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		return c.fail("at %s: %v, want %v", pointer, got, want)
	}
	return c
}

// wantInstant compares a time at a pointer, however it is written.
func (c *scenario) wantInstant(pointer, want string) *scenario {
	got, err := time.Parse(time.RFC3339Nano, c.text(pointer))
	wanted, _ := time.Parse(time.RFC3339, want)
	if c.err == nil && (err != nil || !got.Equal(wanted)) {
		c.fail("at %s: %s, want %s", pointer, got, want)
	}
	return c
}
