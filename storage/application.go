package storage

import (
	"encoding/json"
	"time"
)

// Application is a machine, which is the OAuth client. Its id is the client_id and is never UUID-shaped.
type Application struct {
	Meta
	Identity
	Description string   `json:"description,omitempty"`
	GrantTypes  []string `json:"grant_types"`
	// Scopes is the registered ceiling: nil is no ceiling, an empty slice is nothing.
	Scopes []string `json:"scopes"`
	// Audiences is what the application's tokens may be for; nil is both of Writ's own.
	Audiences []string `json:"audiences"`
	// Serves lists the audiences for which the application is the resource server.
	Serves []string `json:"serves,omitempty"`
	// TokenEndpointAuthMethod is empty (basic or post) or the one method that is enforced.
	TokenEndpointAuthMethod string `json:"token_endpoint_auth_method,omitempty"`
	// TokenEndpointAuthSigningAlg is the one algorithm of the application's assertions; empty is any that its keys fit.
	TokenEndpointAuthSigningAlg string `json:"token_endpoint_auth_signing_alg,omitempty"`
	// JWKS or JWKSURI holds the public keys of an application whose method is private_key_jwt; no other has either.
	JWKS    json.RawMessage `json:"jwks,omitempty"`
	JWKSURI string          `json:"jwks_uri,omitempty"`
	// TokenFormat is "jwt" or "opaque"; empty is "jwt".
	TokenFormat string `json:"token_format,omitempty"`
	// TokenSigningAlg is "ES256", "RS256" or "EdDSA", for tokens of the format "jwt"; empty is "ES256".
	TokenSigningAlg string `json:"token_signing_alg,omitempty"`
	// TokenLifetime is in seconds; 0 is the server's default.
	TokenLifetime   int64    `json:"token_lifetime,omitempty"`
	RefreshRotation *bool    `json:"refresh_rotation,omitempty"`
	RedirectURIs    []string `json:"redirect_uris,omitempty"`
	IsActive        bool     `json:"is_active"`
	// Retrievable says whether secrets made by the server get a sealed copy that can be revealed.
	Retrievable bool     `json:"retrievable"`
	Secrets     []Secret `json:"secrets"`
}

// Secret is what an application proves itself with. Verifier is "sha256:<hex>" for secrets made by the server and a PHC
// string for those chosen by the caller. The sealed copy, if any, is a SealedSecret.
type Secret struct {
	ID        string     `json:"id"`
	Verifier  string     `json:"verifier"`
	Sealed    bool       `json:"sealed,omitempty"`
	Label     string     `json:"label,omitempty"`
	CreatedAt time.Time  `json:"created_at"`
	NotBefore *time.Time `json:"not_before,omitempty"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
	RevokedAt *time.Time `json:"revoked_at,omitempty"`
}

// ApplicationKind: filter by role, group, tenant, protection, status, own grant and the name's folded form.
var ApplicationKind = Kind{
	Name: "applications", Filters: []string{"role", "group", "tenant", "protected", "active", "grant", "name"},
	Authority: true, New: func() Record { return new(Application) },
}

func (a *Application) RecordMeta() *Meta { return &a.Meta }
func (*Application) Kind() Kind          { return ApplicationKind }

// Index implements Record. Filter values are as for a user; "protected" and "active" are "true" or "false".
func (a *Application) Index() Index {
	filters := a.filters()
	filters["protected"] = []string{boolean(a.Protected)}
	filters["name"] = folded(a.NameKey)
	filters["active"] = []string{boolean(a.IsActive)}
	return Index{Filters: filters}
}

// SealedSecret is the sealed copy of a secret that may be revealed. Its id is "<application id>/<secret id>".
type SealedSecret struct {
	Meta
	Sealed []byte `json:"sealed"`
}

// SealedSecretKind has no index: a sealed copy is read by its id alone.
var SealedSecretKind = Kind{
	Name: "sealed_secrets", Filters: []string{"application"}, Authority: true, New: func() Record { return new(SealedSecret) },
}

func (s *SealedSecret) RecordMeta() *Meta { return &s.Meta }
func (*SealedSecret) Kind() Kind          { return SealedSecretKind }

// Index implements Record.
func (s *SealedSecret) Index() Index {
	application := s.ID
	for i := range s.ID {
		if s.ID[i] == '/' {
			application = s.ID[:i]
			break
		}
	}
	return Index{Filters: map[string][]string{"application": {application}}}
}

// SecretUse records when a secret was last used, outside the application's version. Its id is that of the SealedSecret.
type SecretUse struct {
	Meta
	LastUsedAt time.Time `json:"last_used_at"`
}

// SecretUseKind is not an authority kind: using a secret changes nobody's rights.
var SecretUseKind = Kind{Name: "secret_uses", New: func() Record { return new(SecretUse) }}

func (s *SecretUse) RecordMeta() *Meta { return &s.Meta }
func (*SecretUse) Kind() Kind          { return SecretUseKind }

// Index implements Record.
func (*SecretUse) Index() Index { return Index{} }
