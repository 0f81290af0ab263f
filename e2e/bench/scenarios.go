//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
)

// scenario is one kind of load. Its zero fields mean the usual: one unit per request, nothing beside it.
type scenario struct {
	name, what string
	load       func(*world) load
	// units is how many decisions, or whatever else is counted, one request takes.
	units int
	// connections are those of all its loops; zero: those of the pace.
	connections int
	// as names another scenario, whose load this one has, in an open loop only; it has no rounds of its own.
	as string
	// or are further replies that are as good in this one, as in a load: where it shares with what is beside it what there is too little of.
	or []int
	// part is the rate of its open loop as a part of what the load reaches in a closed one; zero: half.
	part float64
	// beside runs on besideConnections for as long as the scenario is measured; its requests are not counted, but what they cost
	// the server is, so that only latencies can be compared.
	beside            func(*world) load
	besideConnections int
}

// floors are what budgets are ratios of. They run in a process with an empty store: no floor pays for collecting Writ's data.
func floors() []scenario {
	return []scenario{
		floor("floor", "decode and write a small JSON", plain),
		floor("floor-es256", "floor and one ES256 signature", proven),
		floor("floor-eddsa", "floor and one EdDSA signature", proven),
		floor("floor-rs256", "floor and one RS256 signature", proven),
		floor("floor-aead", "floor and one XChaCha20-Poly1305 seal", proven),
		floor("floor-es256-verify", "floor and one ES256 verification", plain),
		alone(floor("floor-argon2id", "floor and one Argon2id hash of 19 MiB", proven)),
	}
}

// What the replies of the floors hold: what was signed or sealed is in them.
const (
	plain  = `{"decision":true}`
	proven = `{"decision":true,"proof":"`
)

func floor(name, what, holds string) scenario {
	return scenario{name: name, what: what, load: func(w *world) load {
		body := object{"subject": userID(1), "action": "read", "resource": resourceOf(1, 1)}
		return load{
			server: w.bare, address: w.bare.public, status: http.StatusOK, holds: holds,
			script: cycle([][]byte{post(w.bare.public, "/bench/"+name, "", "application/json", text(body))}),
		}
	}}
}

// alone is a scenario on one connection: hashes that take turns on a core cost more than one after the other.
func alone(s scenario) scenario {
	s.connections = 1
	return s
}

// scenarios are what is measured.
func scenarios() []scenario {
	all := []scenario{
		{name: "evaluation-permit", what: "AuthZEN evaluation, permit by a role", load: func(w *world) load {
			return w.evaluations(true, func(n int) string { return resourceOf(held(n, n%rolesPerUser), n) })
		}},
		{name: "evaluation-deny", what: "AuthZEN evaluation, deny", load: func(w *world) load {
			return w.evaluations(false, func(n int) string { return resourceOf(held(n, 0)+offHeld, n) })
		}},
		{name: "evaluation-deny-reasons", what: "the same, with reasons: codes", load: func(w *world) load {
			return w.asked("/access/v1/evaluation", `{"decision":false,"context":{"reasons"`, func(n int) object {
				q := questionOf(n, resourceOf(held(n, 0)+offHeld, n))
				q["options"] = object{"reasons": true}
				return q
			})
		}},
		{name: "evaluations-100", what: "AuthZEN batch of 100, permits by roles", units: batchSize, load: func(w *world) load {
			return w.asked("/access/v1/evaluations", `{"evaluations":[{"decision":true}`, func(n int) object {
				items := make([]object, batchSize)
				for i := range items {
					items[i] = object{"resource": object{"type": resourceOf(held(n, i%rolesPerUser), i%grants), "id": strconv.Itoa(i)}}
				}
				q := questionOf(n, "")
				delete(q, "resource")
				q["evaluations"] = items
				return q
			})
		}},
		{name: "search-subject", what: "AuthZEN search: a page of 10 of those who have one of the roles", load: func(w *world) load {
			return w.asked("/access/v1/search/subject", `"results":[{"type":"user","id":"`, func(n int) object {
				q := questionOf(n, resourceOf(held(n, 0), n%grants))
				q["subject"], q["page"] = object{"type": "user"}, object{"limit": 10}
				return q
			})
		}},
		{name: "forward-permit", what: "forward-auth, permit by a row and a grant", load: func(w *world) load {
			return w.forward("/pam/apps/users/user/", http.StatusOK, "")
		}},
		{name: "forward-unmapped", what: "forward-auth, no row", load: func(w *world) load {
			return w.forward("/pam/apps/users/user/42/more", http.StatusForbidden, "unmapped_route")
		}},
		{name: "user-get", what: "GET user by id, cached", load: func(w *world) load {
			requests := make([][]byte, w.users)
			for n := range requests {
				requests[n] = get(w.admin, "/v1/users/"+userID(n), w.administering)
			}
			return load{
				server: w.server, address: w.admin, script: cycle(requests), status: http.StatusOK, holds: `"username":"user`,
				distinct: len(requests),
			}
		}},
	}
	return slices.Concat(all, dialectScenarios(), oauthScenarios())
}

// evaluations asks about every user once per cycle: may this user read what resource says?
func (w *world) evaluations(decision bool, resource func(user int) string) load {
	return w.asked("/access/v1/evaluation", fmt.Sprintf(`{"decision":%t`, decision), func(n int) object { return questionOf(n, resource(n)) })
}

// batchSize is how many questions a batch has.
const batchSize = 100

func questionOf(n int, resource string) object {
	return object{
		"subject": object{"type": "user", "id": userID(n)}, "action": object{"name": "read"},
		"resource": object{"type": resource, "id": "42"},
	}
}

// asked is a load of questions, one about every user once per cycle.
func (w *world) asked(path, holds string, body func(user int) object) load {
	requests := make([][]byte, w.users)
	for n := range requests {
		requests[n] = post(w.public, path, w.asking, "application/json", text(body(n)))
	}
	return w.of(requests, holds)
}

// forward asks, as a gateway does, whether a request for a path may pass.
func (w *world) forward(path string, status int, holds string) load {
	request := fmt.Appendf(nil, "GET /forward-auth HTTP/1.1\r\nHost: %s\r\n%sX-Forwarded-Method: GET\r\nX-Forwarded-Uri: %s\r\n"+
		"X-Forwarded-Host: pam.example.com\r\nX-Forwarded-Proto: https\r\nX-Forwarded-For: 203.0.113.7\r\n\r\n",
		w.public, credentials(w.passing), path)
	return load{server: w.server, address: w.public, script: cycle([][]byte{request}), status: status, holds: holds, distinct: 1}
}

// post is a request as it goes over the wire; authorization is left out where it is empty.
func post(host, path, authorization, contentType, body string) []byte {
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\n%sContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s",
		path, host, credentials(authorization), contentType, len(body), body)
}

func get(host, path, authorization string) []byte {
	return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", path, host, credentials(authorization))
}

func credentials(authorization string) string {
	if authorization == "" {
		return ""
	}
	return "Authorization: " + authorization + "\r\n"
}

// text is the JSON of values that always have one.
func text(v any) string {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(body)
}
