package policies

import (
	"encoding/json"
	"math"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Entrypoint names one of the fixed documents a question may be put to.
type Entrypoint string

// The entrypoints of the core. Each is the document "result" of the package of the same path.
const (
	EntryDecision      Entrypoint = "writ/decision"
	EntryAdmin         Entrypoint = "writ/admin"
	EntryToken         Entrypoint = "writ/token"
	EntryIntrospection Entrypoint = "writ/introspection"
	EntryCredential    Entrypoint = "writ/credential"
	EntryWhy           Entrypoint = "writ/why"
	// EntryDetail and EntryCandidates answer no question either: see PDP.Detail and PDP.Candidates.
	EntryDetail     Entrypoint = "writ/detail"
	EntryCandidates Entrypoint = "writ/candidates"
)

// The address facts a question carries in Caller.Address.
const (
	AddressAllowed = "allowed" // inside the allow-lists of the subject and its tenant, or there are none
	AddressRefused = "refused" // outside one of them
	AddressUnknown = "unknown" // a question about somebody else that names no address
)

// The planes of Caller.Plane.
const (
	PlaneRuntime    = "runtime"
	PlaneManagement = "management"
)

// Forever is the end of an open window, in nanoseconds; an open beginning is 0.
const Forever = math.MaxInt64

// Grant is one flattened right of an identity. Via says where it comes from: "own", "role:<key>" or "group:<id>".
type Grant struct {
	// Tenant is an id, "*", or empty for objects of no tenant.
	Tenant    string
	Resource  string
	Action    string
	Via       string
	NotBefore time.Time // zero is open
	NotAfter  time.Time // zero is open
}

// Identity is what the rules are told about a subject, a caller or a target: a user, an application, or a role or group with
// its expansion. It is data preparation; it says nothing about what is allowed.
type Identity struct {
	Type string // "user", "application", "role", "group", "tenant", or a type that Writ does not store
	ID   string
	// Exists is false for a subject or target that is not there; all else is then empty.
	Exists        bool
	Tenant        string
	TenantEnabled bool // true also where there is no tenant
	// Active is false for a suspended user or an inactive application.
	Active            bool
	NotBefore         time.Time
	NotAfter          time.Time
	Protected         bool
	TemporaryPassword bool
	Groups            []string
	Roles             []string // own and by groups, with everything inherited
	// Grants are flattened over own grants, roles with inheritance, and groups, each clipped by the identity's own window.
	Grants []Grant
	// Scopes is an application's registered ceiling: nil is none.
	Scopes     []string
	Audiences  []string // never empty for an application: the effective ones
	GrantTypes []string
	// Retrievable says whether an application's secrets may be revealed at all.
	Retrievable bool
	Attributes  json.RawMessage // a JSON object or nil
}

// Resource is what the question is about.
type Resource struct {
	Type string // a path: "iam/users", "ledger/accounts"
	ID   string // empty for the collection
	// Tenant is the tenant the object belongs to, or would belong to; empty for none.
	Tenant        string
	TenantEnabled bool
	// Exists is false for an object that is not there; a collection exists.
	Exists     bool
	Properties json.RawMessage // the asker's; a JSON object or nil

	// The rest is for the admin plane.

	// Self says that the object is the caller's own identity.
	Self bool
	// Before and After are the target's facts before and after the change; nil where it does not exist then, or where the
	// question changes nothing (then After is nil and Before is the object).
	Before, After *Facts
	// Changes names what the request changes: "name", "description", "username", "email", "properties", "attributes",
	// "status" (is_active, suspended_at), "window", "addresses", "grants", "roles", "groups", "scopes", "audiences", "serves",
	// "grant_types", "auth_method", "token" (format, algorithm, lifetime, rotation), "tenant", "password", "secrets", "inherits",
	// "enabled", "protected", "retrievable", "redirect_uris", "epoch" (all tokens so far), "create", "delete".
	Changes []string
	// OtherOwners counts the usable full administrators among the users that would remain beside those this change touches;
	// OwnersBefore those before it. Filled where the change could cost a right, else both are -1.
	OtherOwners, OwnersBefore int
	// Proof is how a caller who changes its own credentials proved the present one: "none", "password" or "secret".
	Proof string
	// Reason is set when a secret is to be revealed and the caller stated why.
	Reason bool
	// AfterDetail is extra data of the change for rules of single routes; a JSON object or nil.
	AfterDetail json.RawMessage
}

// Caller is who asks, as the credential proved it. Its rights are those of Question.Subject within Scopes.
type Caller struct {
	ClientID string
	// Scoped says that the rights are limited to Scopes; false only where no token limits them: a question about somebody else,
	// or HTTP Basic of an application without a ceiling.
	Scoped bool
	Scopes *Scopes
	// Tenant is the token's, empty for none.
	Tenant    string
	Audiences []string
	SID       string
	// AuthTime is when the session began with a password; zero if it did not.
	AuthTime time.Time
	// UserToken says that the token is a person's: sub differs from client_id, or an external issuer wrote one.
	UserToken bool
	// External says that the token is an external issuer's.
	External bool
	// Basic says that there is no token: an application came with its id and secret.
	Basic bool
	// Public says that the token's client authenticates with nothing (method "none").
	Public bool
	// Plane is the API being called: PlaneRuntime or PlaneManagement, empty on the OAuth endpoints.
	Plane   string
	Address string // AddressAllowed, AddressRefused or AddressUnknown, for Subject
	// Self says that a question on a decision endpoint is about the caller's own identity.
	Self bool
}

// TokenRequest is what a token is asked for. Candidates are prepared by Go: requested ∩ registered ∩ held.
type TokenRequest struct {
	GrantType string
	// Named says that the request named scopes.
	Named bool
	// Candidates are the scopes that may be granted at most.
	Candidates []string
	// Audiences that may be granted at most; Lifetime in seconds at most.
	Audiences []string
	// AudiencesNamed says that the request named them. Down are those among them that have resource servers of which none is usable.
	AudiencesNamed bool
	Down           []string
	Lifetime       int64
	Tenant         string
	// Nonce is the request's timestamp_nonce in Unix seconds, nil where it has none.
	Nonce *int64
	// Refresh says that the application lists refresh_token.
	Refresh bool
	// Format the application asks for: "jwt" or "opaque".
	Format string
}

// Question is one question to the PDP. Zero fields become empty facts, never missing ones.
type Question struct {
	// ID is the id its decision will have; a fresh one if empty.
	ID         string
	Entrypoint Entrypoint
	Subject    *Facts
	// SubjectProperties are the asker's; stored attributes of the same name beat them. A JSON object or nil.
	SubjectProperties json.RawMessage
	Action            string
	ActionProperties  json.RawMessage // a JSON object or nil
	Resource          Resource
	Context           json.RawMessage // the asker's; a JSON object or nil
	Caller            Caller
	// Client is the application through which a token is asked for or a user acts; nil where it does not matter.
	Client *Facts
	// Token is set for EntryToken only.
	Token *TokenRequest
	// Now is the only clock a rule sees.
	Now time.Time
}

// Reason is why a decision came out as it did: a code of the catalogue and the rule that gave it.
type Reason struct {
	Code string `json:"code"`
	Rule string `json:"rule"`
}

// Obligations are what the respond step must obey. Absent ones are nil or false.
type Obligations struct {
	Scopes   []string       `json:"scopes,omitempty"`
	Audience []string       `json:"audience,omitempty"`
	Lifetime *int64         `json:"lifetime,omitempty"` // seconds
	Format   string         `json:"format,omitempty"`
	Refresh  *bool          `json:"refresh,omitempty"`
	Claims   map[string]any `json:"claims,omitempty"`
	Filter   map[string]any `json:"filter,omitempty"`
	Redact   []string       `json:"redact,omitempty"`
	Conceal  bool           `json:"conceal,omitempty"` // a denial is to look like a missing object
}

// Names lists the obligations that are present.
func (o *Obligations) Names() []string {
	var names []string
	for _, o := range [...]struct {
		name    string
		present bool
	}{
		{"scopes", o.Scopes != nil},
		{"audience", o.Audience != nil},
		{"lifetime", o.Lifetime != nil},
		{"format", o.Format != ""},
		{"refresh", o.Refresh != nil},
		{"claims", o.Claims != nil},
		{"filter", o.Filter != nil},
		{"redact", o.Redact != nil},
		{"conceal", o.Conceal},
	} {
		if o.present {
			names = append(names, o.name)
		}
	}
	return names
}

// Decision is a PDP's answer: permit or deny. An error is returned beside it and is neither.
type Decision struct {
	// ID is unique to the question; it is what Decision-Id and the decision log carry.
	ID          string
	Allow       bool
	Reasons     []Reason // given by Decide for permits; for denials ask Why
	Obligations Obligations
	// PolicyRevision and DataRevision name exactly what was evaluated.
	PolicyRevision string
	DataRevision   string

	snapshot *snapshot
	input    ast.Value
	masks    masks
	// facts are those of the subject, the client and the object as it is, for the log.
	facts [3]*Facts
}
