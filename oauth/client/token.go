package client

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4/json"
)

// Token is an access token that was found to be good for this service.
type Token struct {
	// Subject is whom the token speaks for: the id of a user, or of an application that speaks for itself.
	Subject string
	// ClientID is the application that got the token.
	ClientID string
	// Username is there if the token was introspected and its subject is a user.
	Username string
	// Tenant is the one that the token is confined to; empty: none.
	Tenant string
	// Session is the login that the token came of; empty: none.
	Session string
	// ID is the token's own.
	ID       string
	Audience []string
	// Scopes are patterns of what the token may be used for. To know whether one covers a resource, ask.
	Scopes    []string
	Roles     []string
	Groups    []string
	IssuedAt  time.Time
	ExpiresAt time.Time
	// Claims are all that the token says, with numbers as float64: those above, and what a policy adds.
	Claims map[string]any

	raw string
}

// Person reports whether the token speaks for a user, and not for the application that got it.
func (t *Token) Person() bool { return t.Subject != t.ClientID }

// Asked is the token as the subject of a question: its identity within its scopes, if it is live.
func (t *Token) Asked() Subject { return Subject{Type: subjectToken, ID: t.raw} }

// Format keeps the token itself out of logs.
func (t Token) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "token %s of %s", t.ID, t.Subject) }

// LogValue keeps the token itself out of logs.
func (t Token) LogValue() slog.Value {
	return slog.GroupValue(slog.String("id", t.ID), slog.String("subject", t.Subject), slog.String("client", t.ClientID))
}

// claims are the payload of an access token (RFC 9068, section 2.2), and the reply to introspection (RFC 7662, section 2.2).
type claims struct {
	Issuer    string   `json:"iss"`
	Subject   string   `json:"sub"`
	Audience  audience `json:"aud"`
	ClientID  string   `json:"client_id"`
	IssuedAt  int64    `json:"iat"`
	NotBefore int64    `json:"nbf"`
	ExpiresAt int64    `json:"exp"`
	ID        string   `json:"jti"`
	Scope     string   `json:"scope"`
	SID       string   `json:"sid"`
	Tenant    string   `json:"tenant"`
	Roles     []string `json:"roles"`
	Groups    []string `json:"groups"`
	Username  string   `json:"username"`
}

// audience is one name or several (RFC 7519, section 4.1.3).
type audience []string

func (a *audience) UnmarshalJSON(raw []byte) error {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		*a = audience{one}
		return nil
	}
	var several []string
	err := json.Unmarshal(raw, &several)
	*a = several
	return err
}

// skew is how far the server's clock may be ahead of this one's. A token that has expired has expired.
const skew = 5 * time.Second

// accept turns the claims of a genuine token into one, if it is for this service and good now. The JSON is read strictly: names are
// compared exactly, and none may be there twice.
func (c *Client) accept(raw string, payload []byte) (*Token, error) {
	var said claims
	if err := json.Unmarshal(payload, &said); err != nil {
		return nil, invalid("its claims are malformed")
	}
	all := map[string]any{}
	if err := json.Unmarshal(payload, &all); err != nil {
		return nil, invalid("its claims are malformed")
	}
	now := c.config.Now()
	latest := now.Add(skew).Unix()
	switch {
	case said.Issuer != c.config.Issuer:
		return nil, invalid("another issuer made it")
	case !slices.Contains(said.Audience, c.config.Audience):
		return nil, invalid("it is for somebody else")
	case said.Subject == "" || said.ClientID == "" || said.ID == "" || said.IssuedAt <= 0:
		return nil, invalid("it lacks a claim")
	case said.ExpiresAt <= now.Unix():
		return nil, invalid("it has expired")
	case said.NotBefore > latest || said.IssuedAt > latest:
		return nil, invalid("its time has not come")
	}
	return &Token{
		Subject: said.Subject, ClientID: said.ClientID, Username: said.Username, Tenant: said.Tenant, Session: said.SID, ID: said.ID,
		Audience: said.Audience, Scopes: strings.Fields(said.Scope), Roles: said.Roles, Groups: said.Groups,
		IssuedAt: time.Unix(said.IssuedAt, 0).UTC(), ExpiresAt: time.Unix(said.ExpiresAt, 0).UTC(), Claims: all, raw: raw,
	}, nil
}
