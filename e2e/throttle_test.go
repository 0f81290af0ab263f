package e2e

import (
	"net/http"
	"strconv"
	"testing"
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
