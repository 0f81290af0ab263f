package e2e

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// The tests of this file are rows of the OAuth conformance table, told over HTTP.

func TestT01ClientCredentialsReply(t *testing.T) {
	c := story(t, shared(t)).root()
	a := c.newApp(object{"grants": grants("ledger:read")})
	c.ask(a, "grant_type", "client_credentials").wantStatus(200).want("/token_type", "Bearer").want("/expires_in", 3600).
		want("/scope", "ledger:read").wantAbsent("/refresh_token").
		wantHeader("Cache-Control", "no-store").wantHeader("Pragma", "no-cache")
	c.text("/access_token")
	if kind := c.header("Content-Type"); !strings.HasPrefix(kind, "application/json") {
		c.fail("Content-Type is %s", kind)
	}
}

func TestT02BasicIsFormEncoded(t *testing.T) {
	s := shared(t)
	c := story(t, s)
	for _, special := range []string{":", "+", "%", " ", "é", "/", "="} {
		if !strings.Contains(s.Secret, special) {
			t.Fatalf("the secret of root lacks %q", special)
		}
	}
	c.token(app{ID: "root", Secret: s.Secret})
}

func TestT03SecretTravelsAsRegistered(t *testing.T) {
	c := story(t, shared(t)).root()
	for method, want := range map[string][2]bool{ // by Basic, in the body
		"": {true, true}, "client_secret_basic": {true, false}, "client_secret_post": {false, true},
	} {
		body := object{}
		if method != "" {
			body["token_endpoint_auth_method"] = method
		}
		a := c.root().newApp(body)
		c.as("")
		for i, send := range []func(){
			func() { c.ask(a, "grant_type", "client_credentials") },
			func() {
				c.form("/oauth2/token", fields("grant_type", "client_credentials", "client_id", a.ID, "client_secret",
					a.Secret))
			},
		} {
			if send(); want[i] {
				c.wantStatus(200)
			} else {
				c.wantOAuthError(401, "invalid_client")
			}
			c.expect(method)
		}
	}
}

func TestT04AndST5SecretInTheQueryIsNone(t *testing.T) {
	c := story(t, shared(t)).root()
	a := c.newApp(object{})
	c.as("").form("/oauth2/token?client_id="+a.ID+"&client_secret="+url.QueryEscape(a.Secret), fields("grant_type",
		"client_credentials")).
		wantOAuthError(401, "invalid_client")
	c.form("/oauth2/token?grant_type=client_credentials&client_id="+a.ID+"&client_secret="+url.QueryEscape(a.Secret),
		fields())
	if c.err == nil && c.last.status/100 != 4 {
		c.fail("status %d", c.last.status)
	}
}

func TestT05OnlyPOST(t *testing.T) {
	c := story(t, shared(t)).as("")
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete, http.MethodPatch} {
		c.send(method, "/oauth2/token?grant_type=client_credentials", nil).wantStatus(405).wantHeader("Allow", "POST")
		if v, _ := at(c.last.value(), "/error"); c.err == nil && v == nil {
			c.fail("the body is not an OAuth error")
		}
		c.expect(method)
	}
}

func TestT06OnlyForms(t *testing.T) {
	c := story(t, shared(t)).root()
	a := c.newApp(object{})
	c.as(basic(a.ID, a.Secret))
	multipart := "--b\r\nContent-Disposition: form-data; name=\"grant_type\"\r\n\r\nclient_credentials\r\n--b--\r\n"
	for kind, body := range map[string]string{
		"multipart/form-data; boundary=b": multipart,
		"text/plain":                      "grant_type=client_credentials",
		"application/json":                `{"grant_type":"client_credentials"}`,
	} {
		c.with("Content-Type", kind).post("/oauth2/token", body).wantOAuthError(400, "invalid_request")
		c.expect(kind)
	}
}

func TestT07ParameterTwice(t *testing.T) {
	c := story(t, shared(t)).root()
	a := c.newApp(object{})
	for _, twice := range []string{"grant_type", "scope", "client_id", "username", "tenant"} {
		f := fields("grant_type", "client_credentials")
		f[twice] = []string{"client_credentials", "client_credentials"}
		if twice == "client_id" {
			f[twice] = []string{a.ID, a.ID}
		}
		c.as(basic(a.ID, a.Secret)).form("/oauth2/token", f).wantOAuthError(400, "invalid_request")
		c.expect(twice)
	}
}

func TestT08NoGrantType(t *testing.T) {
	c := story(t, shared(t)).root()
	a := c.newApp(object{})
	c.ask(a).wantOAuthError(400, "invalid_request")
	c.ask(a, "grant_type", "").wantOAuthError(400, "invalid_request")
}

func TestT09UnknownGrantType(t *testing.T) {
	c := story(t, shared(t)).root()
	a := c.newApp(object{})
	for _, kind := range []string{
		"foo", "authorization_code", "Password", "password client_credentials",
		"client_credentials ",
	} {
		c.ask(a, "grant_type", kind).wantOAuthError(400, "unsupported_grant_type")
		c.expect(kind)
	}
}

func TestT10UnknownParametersAreIgnored(t *testing.T) {
	c := story(t, shared(t)).root()
	a := c.newApp(object{"grants": grants("ledger:read")})
	c.ask(a, "grant_type", "client_credentials", "resourceful", "yes").wantStatus(200)
	c.ask(a, "grant_type", "client_credentials", "scope", "").wantStatus(200).want("/scope", "ledger:read")
}

func TestT11UnknownClientT12WrongSecretAreTheSame(t *testing.T) {
	c := story(t, shared(t)).root()
	a := c.newApp(object{})
	c.ask(app{ID: unique("app_none"), Secret: a.Secret}, "grant_type", "client_credentials").
		wantOAuthError(401, "invalid_client")
	unknown := c.last
	c.ask(app{ID: a.ID, Secret: "writ_cs_wrong-secret-of-some-length"}, "grant_type", "client_credentials").
		wantOAuthError(401, "invalid_client").wantSame(unknown)
	inactive := c.newApp(object{"is_active": false})
	c.ask(inactive, "grant_type", "client_credentials").wantOAuthError(401, "invalid_client").wantSame(unknown)
	early := c.newApp(object{"not_before": "2090-01-01T00:00:00Z"})
	c.ask(early, "grant_type", "client_credentials").wantOAuthError(401, "invalid_client").wantSame(unknown)
}

func TestT13NoAuthentication(t *testing.T) {
	c := story(t, shared(t)).root()
	a := c.newApp(object{})
	c.as("").form("/oauth2/token", fields("grant_type", "client_credentials", "client_id", a.ID)).
		wantOAuthError(401, "invalid_client")
	c.form("/oauth2/token", fields("grant_type", "client_credentials")).wantOAuthError(401, "invalid_client")
	c.form("/oauth2/token", fields("grant_type", "client_credentials", "client_id", a.ID, "client_secret", "")).
		wantOAuthError(401, "invalid_client")
}

func TestT14TwoAuthentications(t *testing.T) {
	c := story(t, shared(t)).root()
	a, b := c.newApp(object{}), c.newApp(object{})
	c.ask(a, "grant_type", "client_credentials", "client_secret", a.Secret).wantOAuthError(400, "invalid_request")
	c.ask(a, "grant_type", "client_credentials", "client_id", b.ID).wantOAuthError(400, "invalid_request")
	c.ask(a, "grant_type", "client_credentials", "client_id", a.ID).wantStatus(200)
	c.with("Authorization", basic(a.ID, a.Secret)).with("Authorization", basic(b.ID, b.Secret)).
		form("/oauth2/token", fields("grant_type", "client_credentials")).wantStatus(400)
}

func TestT15MalformedBasic(t *testing.T) {
	c := story(t, shared(t))
	for _, header := range []string{
		"Basic !!!", "Basic bm9jb2xvbg==", "Foo x", "Basic", "Basic ", "Bearer x",
		"Basic JXp6OiV6eg==",
	} {
		c.as(header).form("/oauth2/token", fields("grant_type", "client_credentials")).wantOAuthError(401, "invalid_client")
		c.expect(header)
	}
}

func TestT16PublicClientHasNoClientCredentials(t *testing.T) {
	c := story(t, shared(t)).root()
	c.post("/v1/applications", object{
		"name": "public", "grant_types": list{"password"},
		"token_endpoint_auth_method": "none",
	}).wantStatus(201)
	id := c.text("/id")
	c.wantAbsent("/secret")
	c.as("").form("/oauth2/token", fields("grant_type", "client_credentials", "client_id", id)).
		wantOAuthError(400, "unauthorized_client")
	u := c.root().newUser(object{})
	c.as("").form("/oauth2/token", fields("grant_type", "password", "client_id", id, "username", u.Username, "password",
		u.Password)).
		wantStatus(200)
}

func TestT17GrantTypeNotListed(t *testing.T) {
	c := story(t, shared(t)).root()
	u := c.newUser(object{})
	c.askLogin(c.newApp(object{}), u).wantOAuthError(400, "unauthorized_client")
	c.ask(c.front(), "grant_type", "client_credentials").wantOAuthError(400, "unauthorized_client")
}

func TestT19SecretsOverlapAndExpire(t *testing.T) {
	t.Parallel()
	c := story(t, shared(t)).root()
	first := c.newApp(object{"grants": grants("ledger:read")})
	another := func(window object) app {
		c.root().post("/v1/applications/"+first.ID+"/secrets", window).wantStatus(201)
		return app{ID: first.ID, Secret: canary(c.text("/value")), SecretID: c.text("/id")}
	}

	c.step("before not_before it is like a wrong one")
	from := time.Now().Add(5 * time.Second)
	early := another(object{"not_before": from.UTC().Format(time.RFC3339Nano)})
	c.ask(early, "grant_type", "client_credentials").wantOAuthError(401, "invalid_client")
	refused := c.last
	c.ask(app{ID: first.ID, Secret: "writ_cs_wrong-secret-of-some-length"}, "grant_type", "client_credentials").wantSame(refused)
	c.live(c.token(first))

	c.step("from then on both are good")
	c.eventually(bindsWithin, func() {
		if time.Now().Before(from) {
			c.fail("it is not yet %s", from)
		}
	})
	c.live(c.token(early)).live(c.token(first))

	c.step("at expires_at the one and its token end, and the others do not")
	brief := another(object{"expires_at": time.Now().Add(5 * time.Second).UTC().Format(time.RFC3339Nano)})
	c.ask(brief, "grant_type", "client_credentials").wantStatus(200)
	token := c.text("/access_token")
	if n, _ := at(c.last.value(), "/expires_in"); c.err == nil {
		if left, err := n.(json.Number).Int64(); err != nil || left < 1 || left > 5 {
			c.fail("expires_in is %v, want what is left of the secret", n)
		}
	}
	kept := c.token(early)
	c.live(token).live(kept)
	c.eventually(bindsWithin, func() { c.dead(token) })
	c.ask(brief, "grant_type", "client_credentials").wantOAuthError(401, "invalid_client").wantSame(refused)
	c.live(kept).live(c.token(early)).live(c.token(first))
}

func TestT20ScopeOutsideTheCeiling(t *testing.T) {
	c := story(t, shared(t)).root()
	a := c.newApp(object{"scopes": list{"ledger/accounts:read"}, "grants": grants("ledger:*")})
	c.ask(a, "grant_type", "client_credentials", "scope", "ledger/accounts:write").wantOAuthError(400, "invalid_scope")
	c.ask(a, "grant_type", "client_credentials", "scope", "ledger/accounts:read ledger/books:read").
		wantOAuthError(400, "invalid_scope")
	c.ask(a, "grant_type", "client_credentials", "scope", "LEDGER/accounts:read").wantOAuthError(400, "invalid_scope")
	nothing := c.newApp(object{"scopes": list{}, "grants": grants("ledger:*")})
	c.ask(nothing, "grant_type", "client_credentials", "scope", "ledger/accounts:read").wantOAuthError(400, "invalid_scope")
	free := c.newApp(object{"grants": grants("ledger:*")})
	c.ask(free, "grant_type", "client_credentials", "scope", "ledger/accounts:read").wantStatus(200).
		want("/scope", "ledger/accounts:read")
}

func TestT21NamedScopesAreGrantedAsFarAsHeld(t *testing.T) {
	c := story(t, shared(t)).root()
	a := c.newApp(object{"scopes": list{"ledger:*"}, "grants": grants("ledger/accounts:read", "jobs:read")})
	c.ask(a, "grant_type", "client_credentials", "scope", "ledger/accounts:read ledger/accounts:write").wantStatus(200).
		want("/scope", "ledger/accounts:read")
	c.ask(a, "grant_type", "client_credentials", "scope", "ledger:*").wantStatus(200).want("/scope", "ledger/accounts:read")
	c.ask(a, "grant_type", "client_credentials", "scope", "ledger/accounts:write").wantOAuthError(400, "invalid_scope")

	c.step("what the token says is what it can do")
	c.decidesAs(c.token(a, "scope", "ledger:*"), question("application", a.ID, "read", "ledger/accounts", "1"), true)
	c.decidesAs(c.token(a, "scope", "ledger:*"), question("application", a.ID, "read", "jobs", "1"), false)
}

func TestT22ScopeOmitted(t *testing.T) {
	c := story(t, shared(t)).root()
	a := c.newApp(object{"scopes": list{"ledger:*"}, "grants": grants("ledger/accounts:read", "ledger/books:write",
		"jobs:read")})
	c.ask(a, "grant_type", "client_credentials").wantStatus(200)
	if got := strings.Fields(c.text("/scope")); c.err == nil && (len(got) != 2 || !strings.Contains(strings.Join(got,
		" "), "ledger/books:write")) {
		c.fail("scope is %v", got)
	}
	nothing := c.newApp(object{})
	c.ask(nothing, "grant_type", "client_credentials").wantStatus(200).want("/scope", "")
	many := list{}
	for range 120 {
		many = append(many, object{
			"resource": "ledger/" + unique("an-account-with-a-long-name-for-this-test"),
			"action":   "read",
		})
	}
	wide := c.newApp(object{"grants": many})
	c.ask(wide, "grant_type", "client_credentials").wantOAuthError(400, "invalid_scope")
	one := many[0].(object)["resource"].(string) + ":read"
	c.ask(wide, "grant_type", "client_credentials", "scope", one).wantStatus(200).want("/scope", one)
}

func TestT23GarbageScope(t *testing.T) {
	c := story(t, shared(t)).root()
	a := c.newApp(object{"grants": grants("ledger:read")})
	c.ask(a, "grant_type", "client_credentials", "scope", "é\"\\\x01\x7f").wantOAuthError(400, "invalid_scope")
}

func TestT26ParallelTokensAreDistinct(t *testing.T) {
	s := shared(t)
	c := story(t, s).root()
	a := c.newApp(object{"grants": grants("ledger:read")})
	c.done()
	const n = 200
	var mu sync.Mutex
	var all sync.WaitGroup
	ids := map[any]bool{}
	for range n {
		all.Go(func() {
			w := &scenario{t: t, s: s, next: http.Header{}, waits: true}
			w.ask(a, "grant_type", "client_credentials").wantStatus(200)
			claims, err := part(w.text("/access_token"), 1)
			if w.err != nil || err != nil {
				t.Errorf("%v, %v\n%s", w.err, err, w.last)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			ids[claims["jti"]] = true
		})
	}
	all.Wait()
	if len(ids) != n {
		t.Errorf("%d distinct jti, want %d", len(ids), n)
	}
}

func TestP01PasswordTokenIsTheUsers(t *testing.T) {
	c := story(t, shared(t)).root()
	u := c.newUser(object{"grants": grants("ledger:read")})
	front := c.front()
	claims, err := part(c.login(front, u), 1)
	if err != nil || claims["sub"] != u.ID || claims["client_id"] != front.ID || claims["sid"] == nil ||
		claims["scope"] != "ledger:read" {
		c.fail("claims are %v (%v)", claims, err)
	}
	upperCase := user{Username: strings.ToUpper(u.Username), Password: u.Password}
	c.askLogin(front, upperCase).wantStatus(200)
}

func TestP03PasswordGrantNeedsBoth(t *testing.T) {
	c := story(t, shared(t)).root()
	u := c.newUser(object{})
	c.ask(c.front(), "grant_type", "password", "username", u.Username).wantOAuthError(400, "invalid_request")
	c.ask(c.front(), "grant_type", "password", "password", u.Password).wantOAuthError(400, "invalid_request")
}

func TestP05LongPasswordsCountWhole(t *testing.T) {
	c := story(t, shared(t)).root()
	front := c.front()
	long := canary(strings.Repeat("correct horse ", 6) + "staple")
	u := c.newUser(object{"password": long})
	c.askLogin(front, user{Username: u.Username, Password: long}).wantStatus(200)
	c.askLogin(front, user{Username: u.Username, Password: long[:72]}).wantOAuthError(400, "invalid_grant")
	c.askLogin(front, user{Username: u.Username, Password: long[:len(long)-1] + "x"}).wantOAuthError(400, "invalid_grant")
}

func TestP07IdsNeverCollide(t *testing.T) {
	c := story(t, shared(t)).root()
	u := c.newUser(object{})
	c.put("/v1/applications/"+u.ID, object{"name": "x"}).wantStatus(400)
	c.put("/v1/users/app_"+unique("x"), object{"username": unique("x")}).wantStatus(400)
	for _, name := range []string{uuid(), strings.ToUpper(uuid()), "app_" + unique("x"), "APP_" + unique("x")} {
		c.post("/v1/users", object{"username": name, "email": unique("x") + "@example.com", "name": "x"}).
			wantProblem(400, "/username")
		c.expect(name)
	}
}

// TestJ01J02J03J06TokenAndKeys verifies a token with nothing but the published keys.
func TestJ01J02J03J06TokenAndKeys(t *testing.T) {
	s := shared(t)
	c := story(t, s).root()
	a := c.newApp(object{"grants": grants("ledger:read")})
	token := c.token(a)

	c.step("J06: the key set")
	c.as("").get("/.well-known/jwks.json").wantStatus(200)
	keys := c.last.value()
	etag := c.header("ETag")
	if cache := c.header("Cache-Control"); !strings.Contains(cache, "max-age=") {
		c.fail("Cache-Control is %q, want a max-age", cache)
	}
	array, _ := at(keys, "/keys")
	if list, _ := array.([]any); len(list) == 0 {
		c.fail("no keys")
	}
	for _, k := range array.([]any) {
		jwk := k.(map[string]any)
		for member := range jwk {
			switch member {
			case "kty", "crv", "x", "y", "n", "e", "use", "alg", "kid":
			default:
				c.fail("a published key has member %s", member)
			}
		}
		if jwk["use"] != "sig" || jwk["alg"] == nil || jwk["kid"] != thumbprint(jwk) {
			c.fail("key %v: use, alg or kid is wrong, want kid %s", jwk, thumbprint(jwk))
		}
	}
	c.with("If-None-Match", etag).get("/.well-known/jwks.json").wantStatus(304)

	c.step("J01, J02, J03: header, signature, claims")
	claims, err := verify(token, keys)
	if err != nil {
		c.fail("%v", err)
	}
	c.done()
	issuer := s.Public
	if claims["iss"] != issuer || claims["sub"] != a.ID || claims["client_id"] != a.ID || claims["scope"] != "ledger:read" {
		t.Errorf("claims %v", claims)
	}
	audience, _ := claims["aud"].([]any)
	if len(audience) != 2 || audience[0] != issuer+"/runtime" && audience[1] != issuer+"/runtime" {
		t.Errorf("aud is %v, want both of Writ's own", claims["aud"])
	}
	for _, name := range []string{"exp", "iat", "jti"} {
		if claims[name] == nil {
			t.Errorf("no claim %s", name)
		}
	}
	if _, err := verify(forge(token), keys); err == nil {
		t.Error("the verifier of this test accepts a forged signature")
	}
}

// TestM01M02Metadata follows every URL of the metadata.
func TestM01M02Metadata(t *testing.T) {
	s := shared(t)
	c := story(t, s).as("")
	for _, path := range []string{"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"} {
		c.get(path).wantStatus(200).want("/issuer", s.Public).want("/token_endpoint", s.Public+"/oauth2/token").
			want("/jwks_uri", s.Public+"/.well-known/jwks.json")
		c.expect(path)
	}
	metadata, _ := c.last.value().(map[string]any)
	for name, value := range metadata {
		if array, ok := value.([]any); ok && len(array) == 0 {
			t.Errorf("%s is an empty list", name)
		}
		target, _ := value.(string)
		if !strings.HasPrefix(target, "http") || name == "issuer" {
			continue
		}
		r, err := exchange(t.Context(), s, http.MethodGet, target, http.Header{}, nil)
		if err != nil || r.status == 404 {
			t.Errorf("%s is not reachable: %v\n%s", name, err, r)
		}
	}
	types, _ := at(metadata, "/grant_types_supported")
	a := story(t, s).root().newApp(object{"grant_types": types})
	for _, kind := range types.([]any) {
		c.ask(a, "grant_type", kind.(string))
		if v, _ := at(c.last.value(), "/error"); v == "unsupported_grant_type" {
			t.Errorf("grant type %v is announced and not supported", kind)
		}
	}

	c.step("a forged Host changes nothing")
	request, _ := http.NewRequestWithContext(t.Context(), http.MethodGet,
		s.Public+"/.well-known/oauth-authorization-server", nil)
	request.Host = "evil.example"
	resp, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body := make([]byte, 1<<16)
	n, _ := resp.Body.Read(body)
	if strings.Contains(string(body[:n]), "evil.example") {
		t.Error("the metadata repeats the Host header")
	}
}
