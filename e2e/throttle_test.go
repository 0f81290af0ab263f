package e2e

import (
	"net/http"
	"strconv"
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

// TestSP9ANameThatBeginsAnewOnOneNodeDoesSoOnAnother guesses at a name on two nodes until it must wait long, lets a third, where
// nobody guessed, reset its password, and demands that one of the others lets it in before the wait is over.
func TestSP9ANameThatBeginsAnewOnOneNodeDoesSoOnAnother(t *testing.T) {
	onMongoDB(t)
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
