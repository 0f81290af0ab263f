package e2e

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// bytesOf sends a request as it is written, over a connection of its own, and reads the reply. What a client of HTTP would not send is sent
// like this.
func (c *scenario) bytesOf(listener, request string) *scenario {
	if c.err != nil {
		return c
	}
	connection, err := (&net.Dialer{Timeout: client.Timeout}).DialContext(c.t.Context(), "tcp", strings.TrimPrefix(listener, "http://"))
	if err != nil {
		return c.fail("connect: %v", err)
	}
	defer connection.Close()
	_ = connection.SetDeadline(time.Now().Add(time.Minute)) // without one the test's own ends it
	c.last = reply{request: fmt.Sprintf("%.300q", request)}
	sent := make(chan struct{})
	go func() { // a server may answer before it has read everything
		defer close(sent)
		_, _ = io.WriteString(connection, request)
	}()
	r, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		return c.fail("reply: %v", err)
	}
	defer r.Body.Close()
	c.last.status, c.last.header = r.StatusCode, r.Header
	if c.last.body, err = io.ReadAll(r.Body); err != nil {
		return c.fail("reply: %v", err)
	}
	connection.Close()
	<-sent
	if id := r.Header.Get("Decision-Id"); id != "" {
		if err := c.s.Log.note(id, c.last.request); err != nil {
			return c.fail("%v", err)
		}
	}
	return c
}

// TestSH01AndSH02AndSH03AndSH04PathsAreTakenLiterally tries the paths that routers and rules have been known to read differently.
func TestSH01AndSH02AndSH03AndSH04PathsAreTakenLiterally(t *testing.T) {
	c := story(t, shared(t)).root()
	u := c.newUser(object{})
	escaped := fmt.Sprintf("%%%02x", u.ID[0]) + u.ID[1:]
	for name, row := range map[string]struct {
		path   string
		status int
	}{
		"S-H1 dots, escaped":                    {"/v1/users/%2e%2e/keys", 404},
		"S-H1 dots, escaped in capitals":        {"/v1/users/%2E%2E/keys", 404},
		"S-H1 dots":                             {"/v1/groups/../users", 404},
		"S-H1 one dot":                          {"/v1/./users", 404},
		"S-H1 one dot, escaped":                 {"/v1/%2e/users", 404},
		"S-H1 two slashes":                      {"/v1//users", 404},
		"S-H1 two slashes, one escaped":         {"/v1/users/%2fkeys", 404},
		"S-H1 a slash at the end":               {"/v1/users/", 404},
		"S-H1 a slash at the end of an object":  {"/v1/users/" + u.ID + "/", 404},
		"S-H2 a slash, escaped, before an id":   {"/v1/users%2F" + u.ID, 404},
		"S-H2 a slash, escaped, before me":      {"/v1/users%2Fme", 404},
		"S-H2 a slash, escaped, before secrets": {"/v1/applications/root%2Fsecrets", 404},
		"S-H2 a slash, escaped, before secret":  {"/v1/users/a%2Fsecret", 404},
		"S-H2 and behind":                       {"/v1/users/" + u.ID + "%2Fpassword%2Freset", 404},
		"S-H2 two slashes before all":           {"//v1/users", 404},
		"S-H2 a backslash, escaped":             {"/v1/users/a%5Cb", 404},
		"S-H2 me, escaped":                      {"/v1/users/%6de", 400},
		"S-H2 a percent sign, escaped":          {"/v1/users/%256de", 400},
		"S-H3 NUL":                              {"/v1/users/me%00", 400},
		"S-H3 NUL behind an id":                 {"/v1/users/" + u.ID + "%00", 400},
		"S-H3 a space":                          {"/v1/users/me%20", 400},
		"S-H3 a space behind an id":             {"/v1/users/" + u.ID + "%20", 400},
		"S-H3 a parameter of the path":          {"/v1/users/me;x=1", 400},
		"S-H3 a parameter behind an id":         {"/v1/users/" + u.ID + ";x=1", 400},
		"S-H3 NUL behind root":                  {"/v1/applications/root%00", 400},
		"S-H3 an operator":                      {"/v1/groups/%24where", 400},
		"S-H4 V1":                               {"/V1/users", 404},
		"S-H4 Users":                            {"/v1/Users", 404},
		"S-H4 no such thing":                    {"/v1/unknown", 404},
		"S-H4 ROOT":                             {"/v1/applications/ROOT", 404},
		"S-H4 an id in capitals":                {"/v1/users/" + upper(u.ID), 400},
	} {
		c.get(row.path).wantProblem(row.status, "")
		c.expect(name + ": " + row.path)
	}

	c.step("other spellings of a path are the same decision, on the template and the decoded parameter")
	wanted := map[string]string{}
	for _, path := range []string{"/v1/users/" + u.ID, "/v1/users/" + escaped, "/v1/%75sers/" + u.ID} {
		c.get(path)
		if c.err == nil && c.last.status == 404 { // not the same path, which is as good
			continue
		}
		c.wantStatus(200).want("/id", u.ID)
		wanted[c.header("Decision-Id")] = path
		c.expect(path)
	}
	if len(wanted) < 2 {
		c.fail("no other spelling was the same path: %v", wanted)
	}
	c.eventually(swapWithin, func() {
		lines, err := c.s.decisionLog()
		if err != nil {
			c.fail("%v", err)
		}
		found := 0
		for _, line := range lines {
			if path, asked := wanted[line.DecisionID]; asked {
				if found++; line.Route != "GET /v1/users/{id}" {
					c.fail("%s is %s in the log", path, line.Route)
				}
			}
		}
		if found != len(wanted) {
			c.fail("%d of %d decisions are in the log", found, len(wanted))
		}
	})
	c.done()
	log := c.s.text(c.s.decisions())
	for id, path := range wanted {
		_, line, _ := strings.Cut(log, id)
		if line, _, _ = strings.Cut(line, "\n"); !strings.Contains(line, `"id":"`+u.ID+`"`) || strings.Contains(line, "%") {
			t.Errorf("%s: the rules did not see the id alone: %s", path, line)
		}
	}
}

// TestSH05ASpoofedAddressCountsForNothing says to come from elsewhere, without a proxy that is trusted.
func TestSH05ASpoofedAddressCountsForNothing(t *testing.T) {
	c := story(t, shared(t)).root()
	front, ada := c.front(), c.newUser(object{})
	elsewhere := c.newApp(object{"addresses": list{"192.0.2.0/24"}})
	forged := func(address string) *scenario {
		for _, name := range []string{"X-Forwarded-For", "X-Real-Ip", "Forwarded", "True-Client-Ip", "Cf-Connecting-Ip"} {
			value := address
			if name == "Forwarded" {
				value = "for=" + address
			}
			c.with(name, value)
		}
		return c
	}
	n := 0
	c.guessing("from another address each time", func(guess string) *scenario {
		n++
		return forged(fmt.Sprintf("203.0.113.%d", n)).ask(front, "grant_type", "password", "username", ada.Username, "password", guess)
	})
	c.expect("guesses")
	forged("192.0.2.7").ask(elsewhere, "grant_type", "client_credentials").wantOAuthError(401, "invalid_client")
	c.expect("an application that is limited to an address")
}

// TestSH06AndSH09AndSH10AndSH11AndSH12HeadersMakeNobodyMore sends what other servers take for an identity, for another method or for their
// own name.
func TestSH06AndSH09AndSH10AndSH11AndSH12HeadersMakeNobodyMore(t *testing.T) {
	s := shared(t)
	c := story(t, s).root()
	root := c.auth
	u, v := c.newUser(object{}), c.newUser(object{})
	one, two := bearer(c.login(c.front(), u)), bearer(c.login(c.front(), v))
	machine := c.newApp(object{})

	c.step("S-H6: who one is")
	for _, name := range []string{
		"X-User", "X-Forwarded-User", "X-Remote-User", "Remote-User", "X-Auth-User", "X-Auth-Subject", "X-Authenticated-User", "X-Forwarded-Email",
		"X-Client-Id", "X-Forwarded-Client-Cert", "X-Ssl-Client-Cert", "X-Api-Key", "X-Access-Token", "X-Forwarded-Access-Token", "Cookie",
	} {
		value := "root"
		if strings.Contains(name, "Token") {
			value = strings.TrimPrefix(root, "Bearer ")
		}
		c.as("").with(name, value).get("/v1/users").wantUnauthorized()
		c.with(name, value).onPublic().get("/v1/me").wantUnauthorized()
		c.as(one).with(name, value).onPublic().get("/v1/me").wantStatus(200).want("/id", u.ID)
		c.with(name, value).get("/v1/users").wantDenied("not_granted")
		c.expect(name)
	}

	c.step("S-H9: headers that are said to be of one hop alone")
	host := strings.TrimPrefix(s.Public, "http://")
	for _, connection := range []string{"X-Auth-User", "X-Auth-User, X-Forwarded-Uri", "Authorization", "X-Forwarded-For"} {
		ask := "GET /forward-auth HTTP/1.1\r\nHost: " + host + "\r\nAuthorization: " + one + "\r\nX-Auth-User: admin\r\nX-Auth-Subject: root\r\n" +
			"X-Forwarded-Method: GET\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.example.com\r\nX-Forwarded-Uri: /profile\r\nConnection: close, "
		c.bytesOf(s.Public, ask+connection+"\r\n\r\n").wantStatus(200).wantIdentity(u.ID, "user", u.ID, c.front().ID)
		c.bytesOf(s.Public, strings.Replace(ask, "/profile", "/nothing", 1)+connection+"\r\n\r\n").wantDenied("unmapped_route").wantIdentity()
		c.expect(connection)
	}

	c.step("S-H10: what the server is called")
	usual, _ := part(c.token(machine), 1)
	for name, forged := range map[string]string{
		"Host":             "Host: evil.example\r\n",
		"X-Forwarded-Host": "Host: " + host + "\r\nX-Forwarded-Host: evil.example\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Prefix: /evil.example\r\n",
		"Forwarded":        "Host: " + host + "\r\nForwarded: host=evil.example;proto=https\r\n",
		"X-Original-Host":  "Host: " + host + "\r\nX-Original-Host: evil.example\r\nX-Host: evil.example\r\nX-Original-Url: /evil.example\r\nX-Rewrite-Url: /evil.example\r\n",
	} {
		unnamed := func(what string) {
			all := fmt.Sprint(c.last.header) + string(c.last.body)
			if c.err == nil && strings.Contains(all, "evil.example") {
				c.fail("it repeats the name: %s", all)
			}
			c.expect(name + ": " + what)
		}
		for _, path := range []string{"oauth-authorization-server", "openid-configuration", "authzen-configuration"} {
			c.bytesOf(s.Public, "GET /.well-known/"+path+" HTTP/1.1\r\n"+forged+"Connection: close\r\n\r\n").wantStatus(200)
			unnamed(path)
		}
		c.bytesOf(s.Public, "POST /oauth2/token HTTP/1.1\r\n"+forged+"Connection: close\r\nAuthorization: "+basic(machine.ID, machine.Secret)+
			"\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 29\r\n\r\ngrant_type=client_credentials").wantStatus(200)
		claims, _ := part(c.text("/access_token"), 1)
		if c.err == nil && claims["iss"] != usual["iss"] {
			c.fail("the issuer of a token is %v, want %s", claims["iss"], usual["iss"])
		}
		harvest(c.last.value())
		unnamed("a token")
		body := `{"name":"` + unique("h10") + `"}`
		c.bytesOf(s.Admin, "POST /v1/groups HTTP/1.1\r\n"+forged+"Connection: close\r\nAuthorization: "+root+
			"\r\nContent-Type: application/json\r\nContent-Length: "+strconv.Itoa(len(body))+"\r\n\r\n"+body).wantStatus(201)
		if c.header("Location"); c.err == nil && !strings.HasPrefix(c.last.header.Get("Location"), "/v1/groups/") {
			c.fail("Location is %s", c.last.header.Get("Location"))
		}
		unnamed("a new object")
	}

	c.step("S-H11: two credentials")
	c.as("")
	for name, pair := range map[string][2]string{
		"two bearers": {one, two}, "a person and root": {one, root}, "the same twice": {one, one}, "Basic and bearer": {basic(machine.ID, machine.Secret), one},
		"bearer and Basic": {root, basic(machine.ID, machine.Secret)}, "bearer and nothing": {one, ""},
	} {
		both := func() *scenario { return c.with("Authorization", pair[0]).with("Authorization", pair[1]) }
		both().onPublic().get("/v1/me").wantProblem(400, "")
		both().get("/v1/me").wantProblem(400, "")
		both().get("/v1/users").wantProblem(400, "")
		both().post("/v1/permissions", object{"subject": object{"type": "user", "id": u.ID}}).wantStatus(400)
		both().post("/access/v1/evaluation", question("user", u.ID, "read", "ledger", "1")).wantStatus(400)
		both().form("/oauth2/token", fields("grant_type", "client_credentials")).wantOAuthError(400, "invalid_request")
		both().form("/oauth2/introspect", fields("token", "x")).wantOAuthError(400, "invalid_request")
		both().form("/oauth2/revoke", fields("token", "x")).wantOAuthError(400, "invalid_request")
		c.expect(name)
	}

	c.step("S-H12: another method")
	c.as(root)
	for _, name := range []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"} {
		c.with(name, "DELETE").get("/v1/users/" + u.ID).wantStatus(200)
		c.with(name, "DELETE").post("/v1/users/"+u.ID, object{}).wantStatus(405)
		id := c.with(name, "DELETE").post("/v1/groups", object{"name": unique("g")}).wantStatus(201).text("/id")
		c.with(name, "DELETE").patch("/v1/groups/"+id, object{"description": "there"}).wantStatus(200)
		c.get("/v1/groups/" + id).wantStatus(200)
		c.expect(name)
	}
	c.post("/v1/users/"+u.ID+"?_method=DELETE", object{}).wantStatus(405)
	c.post("/v1/groups?_method=DELETE", object{"name": "g"}).wantProblem(400, "")
	c.post("/v1/groups", object{"name": "g", "_method": "DELETE"}).wantProblem(400, "/_method")
	c.form("/v1/users/"+u.ID, fields("_method", "DELETE")).wantStatus(405)
	c.get("/v1/users/" + u.ID).wantStatus(200)
}

// TestSH14ResponsesHaveSafeHeaders looks at a few replies of each plane: no other origin reads any of them.
func TestSH14ResponsesHaveSafeHeaders(t *testing.T) {
	c := story(t, shared(t)).root()
	for _, origin := range []string{"https://good.example.evil", "https://good.example", "null", c.s.Public, "http://localhost:3000", "file://"} {
		for _, path := range []string{"/v1/me", "/v1/users", "/.well-known/jwks.json", "/.well-known/openid-configuration", "/v1/nothing", "/openapi.json", "/livez"} {
			for _, method := range []string{"GET", "OPTIONS"} {
				c.with("Origin", origin).with("Access-Control-Request-Method", "DELETE").with("Access-Control-Request-Headers", "authorization").send(method, path, nil).
					wantHeader("X-Content-Type-Options", "nosniff")
				if method == "GET" && path != "/v1/nothing" {
					c.wantStatus(200)
				}
				for _, h := range slices.Sorted(maps.Keys(c.last.header)) {
					if h == "Server" || h == "X-Powered-By" || strings.HasPrefix(h, "Access-Control-") {
						c.fail("the reply has header %s", h)
					}
				}
				c.expect(origin + " " + method + " " + path)
			}
		}
		c.with("Origin", origin).form("/oauth2/token", fields("grant_type", "client_credentials")).wantHeader("Access-Control-Allow-Origin", "")
		c.with("Origin", origin).post("/access/v1/evaluation", question("user", "x", "read", "ledger", "1")).wantHeader("Access-Control-Allow-Origin", "")
		c.expect(origin)
	}
}

// sample reads one value of the metrics.
func (c *scenario) sample(name string) float64 {
	c.onAdmin().get("/metrics").wantStatus(200)
	found := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindSubmatch(c.last.body)
	if found == nil {
		c.fail("there is no metric %s", name)
		return 0
	}
	value, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil {
		c.fail("%s: %v", name, err)
	}
	return value
}

// TestSH15LargeAndDeepBodiesCostLittle sends bodies that others have been known to fall over, many at once, and looks at the memory.
func TestSH15LargeAndDeepBodiesCostLittle(t *testing.T) {
	s := shared(t)
	c := story(t, s).root()
	root := c.auth
	members := func(n int) string {
		var b strings.Builder
		b.WriteString(`{"name":"x"`)
		for i := range n {
			fmt.Fprintf(&b, `,"k%d":1`, i)
		}
		return b.String() + "}"
	}
	const mark = `{"name":"x","properties":`
	bodies := map[string]struct {
		body   string
		status int
	}{
		"arrays, 10,000 deep":          {mark + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + "}", 400},
		"objects, 10,000 deep":         {mark + strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000) + "}", 400},
		"arrays that never end":        {mark + strings.Repeat("[", 1_000_000), 400},
		"60,000 keys":                  {members(60_000), 400},
		"60,000 keys of free data":     {mark + members(60_000) + "}", 400},
		"a million keys":               {members(1_000_000), 413},
		"a text of 1 MiB and one byte": {`{"name":"` + strings.Repeat("x", 1<<20) + `"}`, 413},
		"a number of a million digits": {mark + strings.Repeat("1", 1_000_000) + "}", 400},
		"50 MB":                        {mark + `"` + strings.Repeat("y", 50<<20) + `"}`, 413},
	}
	request := func(host, path, body string) string {
		return "POST " + path + " HTTP/1.1\r\nHost: " + strings.TrimPrefix(host, "http://") + "\r\nConnection: close\r\nAuthorization: " + root +
			"\r\nContent-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
	}
	before := c.sample("process_resident_memory_bytes") / (1 << 20)
	const passes = 3
	resident := make([]float64, passes)
	for pass := range passes {
		for name, row := range bodies {
			var all sync.WaitGroup
			errs := make([]error, 8)
			for i := range errs {
				all.Go(func() {
					w := &scenario{t: t, s: s, next: http.Header{}}
					if i%2 == 0 {
						w.bytesOf(s.Admin, request(s.Admin, "/v1/groups", row.body)).wantProblem(row.status, "")
					} else {
						w.bytesOf(s.Public, request(s.Public, "/access/v1/evaluation", row.body)).wantStatus(row.status)
					}
					errs[i] = w.err
				})
			}
			all.Wait()
			for _, err := range errs {
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			c.onPublic().get("/livez").wantStatus(200)
			c.expect(name)
		}
		resident[pass] = c.sample("process_resident_memory_bytes") / (1 << 20)
	}
	// What was sent is 2 GB, and 400 MB of it at once; the collector keeps some room for what comes next.
	if t.Logf("the memory was %.0f MiB and is %.0f MiB after each pass", before, resident); slices.Max(resident)-before > 300 {
		t.Errorf("the memory grew from %.0f to %.0f MiB", before, resident)
	}
}

// TestSH15ASlowBodyIsToldSo announces a body and does not send it.
func TestSH15ASlowBodyIsToldSo(t *testing.T) {
	t.Parallel()
	s := shared(t)
	c := story(t, s).root()
	root := c.auth
	var all sync.WaitGroup
	for name, request := range map[string][2]string{
		"the admin API":      {s.Admin, "POST /v1/groups HTTP/1.1\r\nHost: x\r\nAuthorization: " + root + "\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"},
		"a decision":         {s.Public, "POST /access/v1/evaluation HTTP/1.1\r\nHost: x\r\nAuthorization: " + root + "\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"},
		"the token endpoint": {s.Public, "POST /oauth2/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\ngrant"},
	} {
		all.Go(func() {
			w := &scenario{t: t, s: s, next: http.Header{}}
			began := time.Now()
			w.bytesOf(request[0], request[1]).wantStatus(408)
			if took := time.Since(began); w.err != nil || took > 40*time.Second {
				t.Errorf("%s: after %s: %v", name, took, w.err)
			}
		})
	}
	all.Wait()
}

// TestSH16CompressedBodiesAreNotOpened sends little that would become much.
func TestSH16CompressedBodiesAreNotOpened(t *testing.T) {
	c := story(t, shared(t)).root()
	var bomb bytes.Buffer
	writer := gzip.NewWriter(&bomb)
	_, _ = io.WriteString(writer, `{"name":"`+strings.Repeat("x", 20<<20)+`"}`)
	_ = writer.Close()
	for _, encoding := range []string{"gzip", "x-gzip", "GZIP", "deflate", "br", "zstd", "gzip, gzip", "identity, gzip"} {
		send := func(method, path, kind string, status int) {
			c.with("Content-Encoding", encoding).with("Content-Type", kind).send(method, path, bomb.Bytes()).wantStatus(status)
			c.expect(encoding + ": " + method + " " + path)
		}
		send("POST", "/v1/groups", "application/json", 415)
		send("PATCH", "/v1/groups/g", "application/merge-patch+json", 415)
		send("PUT", "/v1/me", "application/json", 415)
		send("POST", "/v1/import", "application/json", 415)
		send("POST", "/v1/permissions", "application/json", 415)
		send("POST", "/v1/data/writ/decision/result", "application/json", 415)
		send("POST", "/access/v1/evaluation", "application/json", 400)
		send("POST", "/access/v1/evaluations", "application/json", 400)
		send("POST", "/oauth2/token", "application/x-www-form-urlencoded", 400)
		send("POST", "/oauth2/introspect", "application/x-www-form-urlencoded", 400)
	}
}

// TestSH17WhatStrangersSendMakesNoSeries asks ten thousand times with methods, paths and user agents that nobody has seen before.
func TestSH17WhatStrangersSendMakesNoSeries(t *testing.T) {
	s := shared(t)
	c := story(t, s).as("")
	strangers := &http.Client{Timeout: client.Timeout, Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	defer strangers.CloseIdleConnections()
	ask := func(i int) error {
		word := rand.Text()
		method, path := word[:6], "/"+word
		switch i % 6 {
		case 1:
			method, path = "GET", "/v1/users/"+word
		case 2:
			method, path = "GET", "/v1/"+word+"/"+word
		case 3:
			path = "/v1/me"
		case 4:
			method, path = "POST", "/oauth2/token?"+word+"="+word
		case 5:
			method, path = "POST", "/v1/data/"+word
		}
		r, err := http.NewRequestWithContext(t.Context(), method, []string{s.Public, s.Admin}[i/6%2]+path, http.NoBody)
		if err != nil {
			return err
		}
		for _, name := range []string{"User-Agent", "Origin", "X-Forwarded-Host", "X-Request-Id", "Accept"} {
			r.Header.Set(name, word)
		}
		reply, err := strangers.Do(r)
		if err != nil {
			return err
		}
		defer reply.Body.Close()
		_, err = io.Copy(io.Discard, reply.Body)
		if reply.StatusCode < 400 {
			return fmt.Errorf("%s %s: status %d", method, path, reply.StatusCode)
		}
		return err
	}
	series := func() []string {
		c.onAdmin().get("/metrics").wantStatus(200)
		var names []string
		for line := range strings.Lines(string(c.last.body)) {
			if !strings.HasPrefix(line, "#") {
				names = append(names, line[:strings.LastIndexByte(line, ' ')])
			}
		}
		return names
	}
	for i := range 60 { // each kind of refusal has its series now
		if err := ask(i); err != nil {
			t.Fatal(err)
		}
	}
	series()
	before := series()
	const n = 10_000
	var all sync.WaitGroup
	errs := make([]error, 8)
	for w := range errs {
		all.Go(func() {
			for i := w; i < n && errs[w] == nil; i += len(errs) {
				errs[w] = ask(i)
			}
		})
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	after := series()
	c.done()
	if more := slices.DeleteFunc(after, func(name string) bool { return slices.Contains(before, name) }); len(more) > 0 {
		t.Errorf("%d requests made %d series more: %.500q", n, len(more), more)
	}
}

// TestSH18NobodyWritesLinesOfTheLog sends line breaks and JSON in whatever may come into the log. Each of its lines is an event of ours.
func TestSH18NobodyWritesLinesOfTheLog(t *testing.T) {
	s := shared(t)
	c := story(t, s).root()
	mark := unique("forged")
	forged := "x\r\n{\"level\":\"INFO\",\"msg\":\"" + mark + "\"}\r\n\x1b[31m\u2028y"
	front, ada := c.front(), c.newUser(object{})
	c.get("/v1/users/" + url.PathEscape(forged)).wantStatus(400)
	c.get("/v1/users?name_prefix=" + url.QueryEscape(forged))
	c.get("/" + url.PathEscape(forged)).wantStatus(404)
	c.onPublic().get("/v1/data/" + url.PathEscape(forged))
	c.with("X-Request-Id", `"},{"msg":"`+mark).with("User-Agent", `"}`+mark).with("Traceparent", mark).get("/v1/me").wantStatus(200)
	c.post("/v1/users", object{"username": forged, "email": "x@example.com"}).wantStatus(400)
	c.patch("/v1/users/"+ada.ID, object{"name": forged, "properties": object{"x": forged}})
	c.post("/v1/groups", object{"name": forged, "description": forged})
	c.askLogin(front, user{Username: forged, Password: password()}).wantStatus(400)
	c.ask(app{ID: forged, Secret: "x"}, "grant_type", "client_credentials").wantStatus(401)
	c.ask(front, "grant_type", forged).wantStatus(400)
	c.ask(front, "grant_type", "password", "username", ada.Username, "password", ada.Password, "scope", forged).wantStatus(400)
	c.post("/access/v1/evaluation", question("user", forged, forged, "ledger", forged))
	c.post("/v1/policies", object{"files": object{"apps/x/" + forged + ".rego": "package apps.x\n"}})
	c.onHost(forged[:1]).forward("GET", "/"+url.PathEscape(forged))
	c.done()
	events := 0
	for _, file := range []string{s.stderr(), s.decisions()} {
		for line := range strings.Lines(s.text(file)) {
			var event map[string]any
			if err := json.Unmarshal([]byte(line), &event); err != nil {
				t.Errorf("a line is no event: %v: %.300q", err, line)
			} else if event["msg"] == mark || strings.ContainsAny(strings.TrimSuffix(line, "\n"), "\r\x1b") {
				t.Errorf("somebody wrote a line of the log: %.300q", line)
			} else {
				events++
			}
		}
	}
	if events < 10 {
		t.Errorf("%d events prove nothing", events)
	}
}
