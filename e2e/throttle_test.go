package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// guessing sends distinct wrong guesses until one is refused as one too many. How many it takes depends on how long each takes.
func (c *scenario) guessing(what string, try func(guess string) *scenario) {
	for n := range 25 {
		try("a wrong guess " + strconv.Itoa(n))
		if c.err != nil || c.last.status == http.StatusTooManyRequests {
			break
		}
	}
	c.wantStatus(http.StatusTooManyRequests)
	if seconds, err := strconv.Atoi(c.header("Retry-After")); c.err == nil && (err != nil || seconds < 1) {
		c.fail("%s: Retry-After is %q", what, c.header("Retry-After"))
	}
}

func TestT25AndP04GuessingIsSlowedDownForTheGuessedAtAlone(t *testing.T) {
	c := story(t, shared(t)).root()
	victim, other := c.newApp(object{}), c.newApp(object{})
	ada := c.newUser(object{})
	front := c.front()

	c.step("a secret at the token endpoint")
	c.guessing("secret", func(guess string) *scenario {
		return c.with("Authorization", basic(victim.ID, guess)).form("/oauth2/token", fields("grant_type", "client_credentials"))
	})
	c.wantOAuthError(429, "temporarily_unavailable")
	c.ask(other, "grant_type", "client_credentials").wantStatus(200)

	c.step("the same secret by HTTP Basic on the admin API: one count")
	c.guessing("basic", func(guess string) *scenario {
		return c.with("Authorization", basic(victim.ID, guess+" elsewhere")).get("/v1/me")
	})
	c.wantProblem(429, "").want("/code", "throttled")

	c.step("a password")
	c.guessing("password", func(guess string) *scenario {
		return c.ask(front, "grant_type", "password", "username", ada.Username, "password", guess)
	})
	c.wantOAuthError(429, "temporarily_unavailable")
	c.login(front, c.newUser(object{}))
}

// raw sends a token request over a connection of its own and returns all bytes of the reply, without what is of this request or moment:
// its ids, the date and the seconds that are left to wait.
func (c *scenario) raw(a app, pairs ...string) string {
	if c.err != nil {
		return ""
	}
	form, host := fields(pairs...), strings.TrimPrefix(c.s.Public, "http://")
	for _, guess := range form["password"] {
		canary(guess)
	}
	body := form.Encode()
	connection, err := (&net.Dialer{Timeout: client.Timeout}).DialContext(c.t.Context(), "tcp", host)
	if err != nil {
		c.fail("connect: %v", err)
		return ""
	}
	defer connection.Close()
	_ = connection.SetDeadline(time.Now().Add(client.Timeout)) // without one the test's own ends it
	c.last = reply{request: "POST /oauth2/token, as it goes over the wire"}
	if _, err := fmt.Fprintf(connection, "POST /oauth2/token HTTP/1.1\r\nHost: %s\r\nAuthorization: %s\r\nContent-Type: "+
		"application/x-www-form-urlencoded\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", host, basic(a.ID, a.Secret), len(body), body); err != nil {
		c.fail("send: %v", err)
		return ""
	}
	all, err := io.ReadAll(connection)
	if err != nil {
		c.fail("reply: %v", err)
		return ""
	}
	c.last.body = all
	if id := regexp.MustCompile(`(?m)^Decision-Id: (.*)\r$`).FindSubmatch(all); id != nil {
		if err := c.s.Log.note(string(id[1]), c.last.request); err != nil {
			c.fail("%v", err)
		}
	}
	return regexp.MustCompile(`(?m)^(Date|Decision-Id|X-Request-Id|Retry-After): .*\r$`).ReplaceAllString(string(all), "$1: x\r")
}

// wantRaw demands the same bytes of each request, a status line among them.
func (c *scenario) wantRaw(status int, requests map[string]func() string) {
	first, of := "", ""
	for name, request := range requests {
		got := request()
		if want := fmt.Sprintf("HTTP/1.1 %d ", status); c.err == nil && !strings.HasPrefix(got, want) {
			c.fail("%s: the reply does not begin with %s", name, want)
		}
		if c.expect(name); first == "" {
			first, of = got, name
		}
		if got != first {
			c.t.Errorf("%s and %s can be told apart:\n%s\n%s", of, name, first, got)
		}
	}
}

// TestP04AndT12RepliesToGuessesAreTheSameBytes compares what goes over the wire.
func TestP04AndT12RepliesToGuessesAreTheSameBytes(t *testing.T) {
	t.Parallel()
	c := story(t, shared(t)).root()
	front, machine := c.front(), c.newApp(object{})
	ada, suspended, early := c.newUser(object{}), c.newUser(object{}), c.newUser(object{"not_before": instant(time.Hour)})
	c.patch("/v1/users/"+suspended.ID, object{"suspended_at": "2020-01-01T00:00:00Z"}).wantStatus(200)
	inactive := c.newApp(object{"is_active": false})
	nobody := user{Username: unique("nobody"), Password: password()}
	login := func(u user, guess string) func() string {
		return func() string {
			return c.raw(front, "grant_type", "password", "username", u.Username, "password", guess)
		}
	}
	secret := func(id, guess string) func() string {
		return func() string { return c.raw(app{ID: id, Secret: guess}, "grant_type", "client_credentials") }
	}

	c.step("P02: passwords")
	c.wantRaw(http.StatusBadRequest, map[string]func() string{
		"unknown": login(nobody, nobody.Password), "wrong": login(ada, "a wrong guess of the first"),
		"suspended": login(suspended, suspended.Password), "outside the window": login(early, early.Password),
		"wrong and suspended": login(suspended, "a wrong guess of the second"),
	})
	c.step("T11, T12: secrets")
	c.wantRaw(http.StatusUnauthorized, map[string]func() string{
		"unknown": secret(unique("app_none"), machine.Secret), "wrong": secret(machine.ID, "writ_cs_wrong-secret-of-some-length"),
		"inactive": secret(inactive.ID, inactive.Secret), "wrong and inactive": secret(inactive.ID, "writ_cs_wrong-secret-of-some-length"),
	})

	c.step("P04, T25: throttled")
	none := unique("app_none")
	tries := map[string]func() string{}
	for _, u := range []user{ada, nobody, suspended} {
		tries[u.Username] = func() string { return login(u, "a wrong guess "+unique(""))() }
	}
	for _, id := range []string{machine.ID, none, inactive.ID} {
		tries[id] = func() string { return secret(id, "a wrong guess "+unique(""))() }
	}
	c.throttled(tries)
	c.wantRaw(http.StatusTooManyRequests, map[string]func() string{
		"right": login(ada, ada.Password), "wrong": login(ada, "one more wrong guess"), "unknown": login(nobody, nobody.Password),
		"suspended": login(suspended, suspended.Password), "right secret": secret(machine.ID, machine.Secret),
		"wrong secret": secret(machine.ID, "one more wrong guess"), "unknown secret": secret(none, machine.Secret),
		"inactive": secret(inactive.ID, inactive.Secret),
	})
	c.step("what others have is as good as before")
	c.live(c.login(front, c.newUser(object{})))
}

// throttled guesses by turns until all have to wait for so long that what follows is inside each wait.
func (c *scenario) throttled(tries map[string]func() string) {
	const enough = 5
	c.eventually(2*time.Minute, func() {
		for name, try := range tries {
			try()
			left := regexp.MustCompile(`(?m)^Retry-After: (\d+)\r$`).FindSubmatch(c.last.body)
			seconds := 0
			if left != nil {
				seconds, _ = strconv.Atoi(string(left[1]))
			}
			if seconds < enough {
				defer c.fail("%s has to wait for %d s, want %d", name, seconds, enough)
			}
		}
	})
}

// TestSP9ANameThatBeginsAnewOnOneNodeDoesSoOnAnother guesses at a name on two nodes until it must wait long, lets a third, where
// nobody guessed, reset its password, and demands that one of the others lets it in before the wait is over.
func TestSP9ANameThatBeginsAnewOnOneNodeDoesSoOnAnother(t *testing.T) {
	onMongoDB(t)
	t.Parallel()
	nodes := startTogether(t, newCluster(suite.db), Options{}, Options{}, Options{})
	here, there, third := story(t, nodes[0]).root(), story(t, nodes[1]).root(), story(t, nodes[2]).root()
	front, ada := here.front(), here.newUser(object{})
	here.done()
	for _, c := range []*scenario{there, third} {
		c.eventually(bindsWithin, func() { c.get("/v1/applications/" + front.ID).wantStatus(200) })
		c.done()
	}

	const long = 30 * time.Second
	guesses, ends := 0, time.Time{}
	guess := func(c *scenario) {
		c.ask(front, "grant_type", "password", "username", ada.Username, "password", "a wrong guess "+strconv.Itoa(guesses))
		guesses++
		if c.err != nil || c.last.status != http.StatusTooManyRequests {
			return
		}
		if seconds, err := strconv.Atoi(c.header("Retry-After")); err == nil && c == there {
			ends = time.Now().Add(time.Duration(seconds) * time.Second)
		}
	}
	for deadline := time.Now().Add(2 * bindsWithin); time.Until(ends) < long-time.Second; {
		if time.Now().After(deadline) {
			t.Fatalf("after %d guesses the other node waits %s", guesses, time.Until(ends))
		}
		guess(there)
		guess(third)
		there.done()
		third.done()
		time.Sleep(pollEvery)
	}

	here.step("a reset on one node")
	here.post("/v1/users/"+ada.ID+"/password/reset", nil).wantStatus(200)
	ada.Password = here.text("/temporary_password")
	here.done()
	began := time.Now()
	there.step("the other lets the name in")
	there.eventually(time.Until(ends)-time.Second, func() { there.askLogin(front, ada).wantStatus(200) })
	there.done()
	t.Logf("the other node let the name in after %s, %s before its wait was over", time.Since(began), time.Until(ends))
}
