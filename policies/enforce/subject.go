package enforce

import (
	"context"
	"net/http"
	"net/netip"
	"time"

	"github.com/writ-authz/writ/policies"
)

// Caller is who makes a request, as its credential proved it.
type Caller struct {
	// Type is "user" or "application"; ID is the identity's id, or where the facts say that it does not exist, what an external
	// issuer calls it.
	Type, ID string
	Facts    *policies.Facts
	ClientID string
	SecretID string // the secret that authenticated an application; empty for a user or an unknown one
	// Scoped and Scopes limit the rights; see policies.Caller.
	Scoped    bool
	Scopes    *policies.Scopes
	Scope     string // the scopes as the token lists them, for display
	Tenant    string
	Audiences []string
	SID       string
	JTI       string
	AuthTime  time.Time
	ExpiresAt time.Time // of the token; zero for HTTP Basic
	UserToken bool
	External  bool
	Public    bool
	Basic     bool // authenticated with HTTP Basic
	// Address is where the request comes from; AddressFact what it means for the identity (policies.Address…).
	Address     netip.Addr
	AddressFact string
}

// Policy returns the caller as the rules see it on a plane.
func (c *Caller) Policy(plane string) policies.Caller {
	return policies.Caller{
		ClientID: c.ClientID, Scoped: c.Scoped, Scopes: c.Scopes, Tenant: c.Tenant, Audiences: c.Audiences, SID: c.SID,
		AuthTime: c.AuthTime, UserToken: c.UserToken, External: c.External, Basic: c.Basic, Public: c.Public, Plane: plane, Address: c.AddressFact,
	}
}

// Authenticator turns the credential of a request into a caller. It returns an *AuthenticationError for a missing or bad credential,
// a *ProtocolError for credentials in two places, and any other error for what it cannot tell now.
type Authenticator interface {
	Authenticate(ctx context.Context, r *http.Request) (*Caller, error)
}

// Subject is a stored identity as a node knows it.
type Subject struct {
	// Type is "user" or "application", or what was asked for where Writ stores no such type; ID is the canonical id.
	Type, ID string
	// Name is for people: a user's username, an application's name.
	Name string
	// Facts say Exists false where there is no such identity; the rest is then empty.
	Facts *policies.Facts
	// Epoch is the identity's own; a token with a lower one is dead.
	Epoch int64
	// Allowed holds the allow-lists of the identity and of its tenant, those that are set: an address must be in each of them.
	Allowed [][]netip.Prefix
}

// Directory gives the facts about stored subjects, as fresh as the node's mirror.
type Directory interface {
	// Subject finds a user (by id or username; an id wins) or an application. One that is not there is no error. An error says
	// that it cannot be told now.
	Subject(ctx context.Context, kind, id string) (*Subject, error)
	// AddressFact says what an address means for an identity: policies.AddressAllowed or policies.AddressRefused, and
	// policies.AddressUnknown for the zero address where there is an allow-list.
	AddressFact(s *Subject, address netip.Addr) string
}

// Holding is what subjects are looked for by: a grant for one of the actions on one of the resources in one of the tenants.
type Holding struct {
	Type                        string // of the subjects
	Tenants, Resources, Actions []string
}

// Holders finds stored subjects by what they hold.
type Holders interface {
	// Holders returns, in order of their ids and behind after, at most limit subjects that hold such a grant: of their own, by a role or
	// by a group. It looks at nothing else: whether the grant is good now, and for what, is decided about each of them. Of a type that
	// Writ does not store there is none.
	Holders(ctx context.Context, h Holding, after string, limit int) ([]*Subject, error)
}
