package client

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4/json"
)

const (
	tokenPath = "/oauth2/token"
	// maxTokenLife is the longest that a token of the service's own is used.
	maxTokenLife = 24 * time.Hour
)

// Token returns an access token of the service's own (client_credentials), which is good for Writ's runtime APIs. It is kept, and got anew
// in good time before it expires.
func (c *Client) Token(ctx context.Context) (string, error) { return c.own.get(ctx) }

func (c *Client) fetchToken(ctx context.Context) (lease[string], error) {
	// For Writ's decision endpoints alone: who gets hold of it cannot manage anything with it.
	form := url.Values{"grant_type": {"client_credentials"}, "audience": {c.config.Issuer + "/runtime"}}
	got, err := c.asClient(ctx, tokenPath, form)
	if err != nil {
		return lease[string]{}, err
	}
	if !got.is(mediaJSON) {
		if got.status == http.StatusBadRequest { // RFC 6749, section 5.2: what is refused is the client, not its question
			got.status = http.StatusUnauthorized
		}
		return lease[string]{}, got.verdict(tokenPath)
	}
	var said struct {
		AccessToken string `json:"access_token"`
		TokenType   string `json:"token_type"`
		ExpiresIn   int64  `json:"expires_in"`
	}
	if err := json.Unmarshal(got.body, &said); err != nil || said.AccessToken == "" || !strings.EqualFold(said.TokenType, "Bearer") ||
		said.ExpiresIn <= 0 || strings.ContainsFunc(said.AccessToken, notToken) {
		return lease[string]{}, unavailable("%s: the reply is malformed", tokenPath)
	}
	life := min(time.Duration(min(said.ExpiresIn, int64(maxTokenLife/time.Second)))*time.Second, maxTokenLife)
	now := c.config.Now()
	return lease[string]{value: said.AccessToken, fresh: now.Add(life - life/5), good: now.Add(life - life/20)}, nil
}
