package decide

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
)

// entity is a subject or a resource on the wire.
type entity struct {
	Type       string          `json:"type"`
	ID         string          `json:"id"`
	Tenant     string          `json:"tenant"`
	Properties json.RawMessage `json:"properties"`
}

// tokenType is the subject type of an access token that the asker received.
const tokenType = "token"

// asked is the subject of a question, found.
type asked struct {
	facts *policies.Facts
	// caller is what limits the subject's rights in this question.
	caller policies.Caller
	// subject is nil for a type that Writ does not store.
	subject *enforce.Subject
}

// find resolves the subject of a question. A subject that is not there is no error: whether the caller may know is decided.
func (a *API) find(ctx context.Context, r *enforce.Request, subject entity, ip netip.Addr) (asked, error) {
	switch subject.Type {
	case tokenType:
		return a.findToken(ctx, r, subject.ID, ip)
	case "user", "application":
		found, err := a.Directory.Subject(ctx, subject.Type, subject.ID)
		if err != nil {
			return asked{}, err
		}
		return a.stored(r, found, ip), nil
	default:
		return asked{
			facts:  policies.Nobody(subject.Type, subject.ID),
			caller: policies.Caller{ClientID: r.Caller.ClientID, Address: policies.AddressUnknown},
		}, nil
	}
}

// stored is a subject that the directory has looked for. Whoever is asked about oneself is answered within the token's scopes.
func (a *API) stored(r *enforce.Request, found *enforce.Subject, ip netip.Addr) asked {
	if found.Type == r.Caller.Type && found.ID == r.Caller.ID {
		return a.self(r, found, ip)
	}
	address := policies.AddressUnknown
	if ip.IsValid() {
		address = a.Directory.AddressFact(found, ip)
	}
	return asked{facts: found.Facts, subject: found, caller: policies.Caller{ClientID: r.Caller.ClientID, Address: address}}
}

// self is a question about the caller's own identity, answered within the token's scopes. An address that the question names must be
// allowed beside the one that it came from: who hands on somebody's token says where that somebody is.
func (a *API) self(r *enforce.Request, found *enforce.Subject, ip netip.Addr) asked {
	caller := r.Caller.Policy("")
	caller.Self = true
	if ip.IsValid() && a.Directory.AddressFact(found, ip) == policies.AddressRefused {
		caller.Address = policies.AddressRefused
	}
	return asked{facts: r.Caller.Facts, caller: caller}
}

// findToken resolves a received token at once, so that the raw token goes no further.
func (a *API) findToken(ctx context.Context, r *enforce.Request, raw string, ip netip.Addr) (asked, error) {
	holder, err := a.Tokens.Token(ctx, raw)
	if errors.Is(err, enforce.ErrUnauthenticated) {
		return asked{
			facts:  policies.Nobody(tokenType, ""),
			caller: policies.Caller{ClientID: r.Caller.ClientID, Address: policies.AddressUnknown},
		}, nil
	}
	if err != nil {
		return asked{}, err
	}
	own := holder.JTI == r.Caller.JTI && holder.ID == r.Caller.ID
	if own && !ip.IsValid() {
		return a.self(r, nil, ip), nil
	}
	subject, err := a.Directory.Subject(ctx, holder.Type, holder.ID)
	if err != nil {
		return asked{}, err
	}
	if own {
		return a.self(r, subject, ip), nil
	}
	caller := holder.Policy("")
	caller.Address = policies.AddressUnknown
	if ip.IsValid() {
		caller.Address = a.Directory.AddressFact(subject, ip)
	}
	return asked{facts: holder.Facts, subject: subject, caller: caller}, nil
}

// right is the question whether the caller may ask at all. It is the same whether or not the subject is there.
func right(found asked, tenant string) policies.Question {
	return policies.Question{
		Resource: asking(tenant),
		Caller:   policies.Caller{Self: found.caller.Self},
	}
}

// asking is what a right about questions of a tenant is about.
func asking(tenant string) policies.Resource {
	return policies.Resource{Tenant: tenant, TenantEnabled: true, Exists: true, OtherOwners: -1, OwnersBefore: -1}
}
