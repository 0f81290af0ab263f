//go:build linux

package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
)

const (
	people = 32 // who have passwords
	// seen is how many tokens are introspected again and again.
	seen = 64
	// loginConnections are enough to keep one core hashing; more would find the pool full.
	loginConnections = 2
	// floodConnections are those of row PO-08.
	floodConnections = 50
	// besideFlood is the rate of what runs beside the flood, as a part of its capacity. A core that hashes as much as it can has not
	// half of itself left; where more comes than it can do, latencies grow with the length of the loop and say nothing.
	besideFlood = 0.1
)

const formType = "application/x-www-form-urlencoded"

// oauth is what the scenarios of the OAuth endpoints find in the server.
type oauth struct {
	es256, rs256, opaque string // Basic credentials of applications that take tokens of a kind
	portal               string // of the one through which people log in
	// chains are the refresh tokens of people's sessions, one to a connection: each use of one replaces it.
	chains []string
	// unseen are tokens of es256.
	unseen              *supply
	seenJWT, seenOpaque []string
}

const accounts = "ledger/accounts:read"

// prepareOAuth makes applications and people through the API, and logs some of them in.
func (w *world) prepareOAuth(ctx context.Context, root string, p pace) error {
	granted := []object{{"resource": "ledger/accounts", "action": "read"}, {"resource": "ledger/accounts", "action": "write"}}
	for _, a := range []struct {
		credentials *string
		fields      object
	}{
		{&w.oauth.es256, object{"name": "issuing"}},
		{&w.oauth.rs256, object{"name": "issuing RS256", "token_signing_alg": "RS256"}},
		{&w.oauth.opaque, object{"name": "issuing opaque", "token_format": "opaque"}},
		{&w.oauth.portal, object{"name": "portal", "grant_types": []string{"password", "refresh_token"}}},
	} {
		a.fields["scopes"], a.fields["grants"] = []string{accounts, "ledger/accounts:write"}, granted
		var err error
		if *a.credentials, err = w.application(ctx, root, a.fields); err != nil {
			return err
		}
	}
	for n := range people {
		name := personName(n)
		fields := object{"username": name, "email": name + "@example.com", "name": "Person", "password": personPassword(n), "grants": granted}
		if _, err := w.create(ctx, root, "/v1/users", fields); err != nil {
			return err
		}
	}
	for n := range max(p.connections, p.openConnections) {
		header := http.Header{"Authorization": {w.oauth.portal}, "Content-Type": {formType}}
		status, text, err := ask(ctx, http.MethodPost, "http://"+w.public+"/oauth2/token", header, []byte(login(n)))
		token := member(&reply{body: text}, "refresh_token")
		if err != nil || status != http.StatusOK || token == "" {
			return fmt.Errorf("log in: got %d %s: %w", status, text, err)
		}
		w.oauth.chains = append(w.oauth.chains, token)
	}
	w.oauth.unseen = &supply{issue: w.tokens(w.oauth.es256, "ey"), connections: p.connections}
	for _, kind := range []struct {
		tokens *[]string
		issue  load
	}{{&w.oauth.seenJWT, w.tokens(w.oauth.es256, "ey")}, {&w.oauth.seenOpaque, w.tokens(w.oauth.opaque, "sat_")}} {
		s := supply{issue: kind.issue, connections: 1}
		if err := s.fill(ctx, seen); err != nil {
			return fmt.Errorf("tokens to introspect: %w", err)
		}
		*kind.tokens = s.tokens
	}
	return nil
}

func personName(n int) string { return fmt.Sprintf("person%04d", n%people) }

func personPassword(n int) string { return fmt.Sprintf("correct horse battery staple %04d", n%people) }

func login(n int) string {
	return form("grant_type", "password", "username", personName(n), "password", personPassword(n))
}

// form encodes pairs of names and values.
func form(pairs ...string) string {
	values := url.Values{}
	for n := 0; n < len(pairs); n += 2 {
		values.Add(pairs[n], pairs[n+1])
	}
	return values.Encode()
}

// form is a request of an application to an OAuth endpoint.
func (w *world) form(path, credentials, body string) []byte {
	return post(w.public, path, credentials, formType, body)
}

// tokens are client_credentials requests of an application, for access tokens that begin in a way.
func (w *world) tokens(credentials, begin string) load {
	request := w.form("/oauth2/token", credentials, form("grant_type", "client_credentials", "scope", accounts))
	return w.of([][]byte{request}, `"access_token":"`+begin)
}

// of is a load of requests to the public listener that are answered with 200.
func (w *world) of(requests [][]byte, holds string) load {
	return load{server: w.server, address: w.public, script: cycle(requests), status: http.StatusOK, holds: holds, distinct: len(requests)}
}

// introspections ask about the same tokens again and again.
func (w *world) introspections(credentials string, tokens []string) load {
	var requests [][]byte
	for _, token := range tokens {
		requests = append(requests, w.form("/oauth2/introspect", credentials, form("token", token)))
	}
	return w.of(requests, `"active":true`)
}

// once sends each token to an endpoint once.
func (w *world) once(path, holds string) load {
	l := w.of(nil, holds)
	l.fill = w.oauth.unseen.fill
	l.script = func(int, int) script {
		return func(*reply) []byte {
			token, ok := w.oauth.unseen.take()
			if !ok {
				return nil
			}
			return w.form(path, w.oauth.es256, form("token", token))
		}
	}
	return l
}

// refreshes use each refresh token once: a connection goes on where the loop before has left its session.
func (w *world) refreshes() load {
	l := w.of(nil, `"refresh_token":"`)
	l.script = func(connection, _ int) script {
		return func(last *reply) []byte {
			if token := member(last, "refresh_token"); token != "" {
				w.oauth.chains[connection] = token
			}
			return w.form("/oauth2/token", w.oauth.portal, form("grant_type", "refresh_token", "refresh_token", w.oauth.chains[connection]))
		}
	}
	return l
}

// logins are right passwords of people in turn.
func (w *world) logins() load {
	var requests [][]byte
	for n := range people {
		requests = append(requests, w.form("/oauth2/token", w.oauth.portal, login(n)))
	}
	l := w.of(requests, `"access_token":"`)
	l.distinct = 0 // to hash for each of them would take long and warm nothing up
	return l
}

// flood is logins from many connections at once, of which the server turns away what it has no room for.
func (w *world) flood() load {
	l := w.logins()
	l.or = turnedAway()
	return l
}

// turnedAway are the replies to logins that there is no room for.
func turnedAway() []int { return []int{http.StatusServiceUnavailable, http.StatusTooManyRequests} }

// oauthScenarios are those of the OAuth endpoints.
func oauthScenarios() []scenario {
	scenarios := []scenario{
		{name: "token-es256", what: "client_credentials, JWT ES256, Basic", load: func(w *world) load { return w.tokens(w.oauth.es256, "ey") }},
		{name: "token-rs256", what: "client_credentials, JWT RS256, Basic", load: func(w *world) load { return w.tokens(w.oauth.rs256, "ey") }},
		{name: "token-opaque", what: "client_credentials, opaque, Basic", load: func(w *world) load { return w.tokens(w.oauth.opaque, "sat_") }},
		{name: "introspect-opaque", what: "introspection of an opaque token, Basic", load: func(w *world) load {
			return w.introspections(w.oauth.opaque, w.oauth.seenOpaque)
		}},
		{name: "introspect-jwt-first", what: "introspection of a JWT at first sight, Basic", load: func(w *world) load {
			return w.once("/oauth2/introspect", `"active":true`)
		}},
		{name: "introspect-jwt-seen", what: "introspection of a JWT seen before, Basic", load: func(w *world) load {
			return w.introspections(w.oauth.es256, w.oauth.seenJWT)
		}},
		{name: "refresh", what: "refresh, JWT ES256, rotated", load: (*world).refreshes},
		{name: "revoke", what: "revocation of an access token, audited", load: func(w *world) load { return w.once("/oauth2/revoke", "") }},
		{name: "password", what: "login with a password, with a refresh token", connections: loginConnections, load: (*world).logins},
		{name: "evaluation-calm", what: "evaluation-permit at a tenth of its rate", as: "evaluation-permit", part: besideFlood},
		{
			name: "evaluation-flooded", what: "the same beside a flood of logins", as: "evaluation-permit", part: besideFlood,
			beside: (*world).flood, besideConnections: floodConnections,
		},
		{name: "token-calm", what: "token-es256 at a tenth of its rate", as: "token-es256", part: besideFlood},
		{
			name: "token-flooded", what: "the same beside a flood of logins", as: "token-es256", part: besideFlood,
			beside: (*world).flood, besideConnections: floodConnections,
		},
	}
	for _, of := range []string{"token-rs256", "token-opaque", "introspect-opaque", "introspect-jwt-seen", "refresh", "revoke"} {
		scenarios = append(scenarios, scenario{
			name: of + "-flooded", what: of + " at a tenth of its rate, beside that flood", as: of, part: besideFlood,
			beside: (*world).flood, besideConnections: floodConnections,
		})
	}
	return append(scenarios, scenario{
		name: "password-flooded", what: "password at a tenth of its rate, beside that flood and turned away like it", as: "password",
		part: besideFlood, or: turnedAway(), beside: (*world).flood, besideConnections: floodConnections,
	})
}
