package client

import (
	"context"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// maxToken is the longest token that is looked at, in bytes.
const maxToken = 16 << 10

// opaquePrefix begins every opaque token of Writ. Whatever is neither one of these nor signed by the server costs it no question.
const opaquePrefix = "sat_"

// Verify returns the token that raw is, if it is good for this service. Otherwise it is ErrInvalidToken; ErrUnavailable, if that cannot
// be told now; or ErrRefused, if it has to be introspected and the server refuses this service.
func (c *Client) Verify(ctx context.Context, raw string) (*Token, error) {
	if raw == "" || len(raw) > maxToken || strings.ContainsFunc(raw, notToken) {
		return nil, invalid("it is malformed")
	}
	if strings.HasPrefix(raw, opaquePrefix) {
		if c.config.ClientID == "" {
			return nil, invalid("it is opaque, and this service introspects none")
		}
		return c.introspect(ctx, raw)
	}
	token, err := c.verify(ctx, raw)
	if err != nil || !c.config.Introspect {
		return token, err
	}
	return c.introspect(ctx, raw)
}

// notToken is a character that no bearer token has (RFC 6750, section 2.1).
func notToken(r rune) bool {
	return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-._~+/=", r))
}

// verify is RFC 9068, section 4.
func (c *Client) verify(ctx context.Context, raw string) (*Token, error) {
	signed, err := jose.ParseSignedCompact(raw, c.algorithms)
	if err != nil {
		return nil, invalid("it is no JWT with an algorithm that is accepted")
	}
	header := signed.Signatures[0].Protected
	if !accessTokenType(header.ExtraHeaders[jose.HeaderType]) {
		// What else the server signs with its keys is no access token.
		return nil, invalid("its type is not at+jwt")
	}
	if header.KeyID == "" {
		return nil, invalid("it names no key")
	}
	key, err := c.keys.find(ctx, header.KeyID)
	if err != nil {
		return nil, err
	}
	if header.Algorithm != key.algorithm {
		return nil, invalid("its algorithm is not its key's")
	}
	payload, err := signed.Verify(key.key)
	if err != nil {
		return nil, invalid("its signature is wrong")
	}
	return c.accept(raw, payload)
}

func accessTokenType(typ any) bool {
	name, _ := typ.(string)
	name = strings.ToLower(name)
	return name == "at+jwt" || name == "application/at+jwt"
}
