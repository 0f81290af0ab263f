package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/go-jose/go-jose/v4/json"
)

const introspectPath = "/oauth2/introspect"

// introspect is RFC 7662. The server tells this service about tokens for an audience that its application serves.
func (c *Client) introspect(ctx context.Context, raw string) (*Token, error) {
	got, err := c.asClient(ctx, introspectPath, url.Values{"token": {raw}})
	if err != nil {
		return nil, err
	}
	switch {
	case got.status == http.StatusUnauthorized || got.status == http.StatusForbidden:
		return nil, fmt.Errorf("%w: %s: %s", ErrRefused, introspectPath, got)
	case !got.is(mediaJSON):
		return nil, unavailable("%s: %s", introspectPath, got)
	}
	var said struct {
		Active *bool  `json:"active"`
		Type   string `json:"token_type"`
	}
	if err := json.Unmarshal(got.body, &said); err != nil || said.Active == nil {
		return nil, unavailable("%s: the reply is malformed", introspectPath)
	}
	if !*said.Active {
		return nil, invalid("it is not active")
	}
	if said.Type != "Bearer" {
		return nil, invalid("it is no access token") // a refresh token is active, too
	}
	return c.accept(raw, got.body)
}
