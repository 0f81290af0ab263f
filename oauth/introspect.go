package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
)

// endpointClient authenticates the client of a request about a token, in the ways of the token endpoint (F-19).
func (s *Server) endpointClient(ctx context.Context, r *enforce.Request, form url.Values) (*client, error) {
	authenticated, err := s.authenticateClient(ctx, r.HTTP, form)
	if err != nil {
		return nil, err
	}
	found, ok := authenticated.(*client)
	if !ok {
		return nil, errors.New("client authentication found no client")
	}
	r.Caller = &enforce.Caller{Type: typeApplication, ID: found.app.ID, ClientID: found.app.ID} // the writer of a denial asks who
	event := enforce.EventFrom(ctx)
	event.Client, event.Subject, event.Tenant = found.app.ID, found.app.ID, string(found.app.Tenant)
	return found, nil
}

// clientCaller is an authenticated client as the rules see it: its rights are those of the application within its registered scopes.
func (s *Server) clientCaller(r *enforce.Request, c *client) (policies.Caller, error) {
	identity := c.subject.Facts.Identity()
	caller := policies.Caller{
		ClientID: c.app.ID, Tenant: identity.Tenant, Audiences: identity.Audiences, Public: c.IsPublic(),
		Address: s.directory.AddressFact(c.subject, remote(r.HTTP)),
	}
	if c.app.Scopes != nil {
		scopes, err := policies.NewScopes(c.app.Scopes)
		if err != nil {
			return policies.Caller{}, fmt.Errorf("scopes of application %s: %w", c.app.ID, err)
		}
		caller.Scoped, caller.Scopes = true, scopes
	}
	return caller, nil
}

// entitlement is what writ/introspection asks of a token beside whose it is.
type entitlement struct {
	Audiences map[string]bool `json:"audiences"`
	Serves    map[string]bool `json:"serves"`
}

func nameSet(names []string) map[string]bool {
	set := make(map[string]bool, len(names))
	for _, name := range names {
		set[name] = true
	}
	return set
}

// resolveIntrospect is RFC 7662 up to the decision. A dead token is put to the decision too, as one that is nobody's: so a caller
// who may not see a token and a token that is not there look the same.
func (s *Server) resolveIntrospect(ctx context.Context, r *enforce.Request) (enforce.Resolved, error) {
	form, err := readForm(r.Body)
	if err != nil {
		return enforce.Resolved{}, err
	}
	if err := s.directory.Fresh(); err != nil {
		return enforce.Resolved{}, fmt.Errorf("introspection: %w", err)
	}
	c, err := s.endpointClient(ctx, r, form)
	if err != nil {
		return enforce.Resolved{}, err
	}
	if c.IsPublic() {
		return enforce.Resolved{}, refusal(codeInvalidClient) // it proved nothing
	}
	raw, err := presentedToken(form)
	if err != nil {
		return enforce.Resolved{}, err
	}
	caller, err := s.clientCaller(r, c)
	if err != nil {
		return enforce.Resolved{}, err
	}
	token, err := s.living(ctx, raw)
	if err != nil {
		return enforce.Resolved{}, fmt.Errorf("introspection: %w", err)
	}
	resource := token.resource(c.app.ID, false)
	entitled := entitlement{Audiences: map[string]bool{}, Serves: nameSet(c.app.Serves)}
	if token != nil && token.claims != nil {
		entitled.Audiences = nameSet(token.claims.Audience)
	}
	if resource.AfterDetail, err = json.Marshal(entitled); err != nil {
		return enforce.Resolved{}, fmt.Errorf("introspection: %w", err)
	}
	return enforce.Resolved{
		Question: policies.Question{Subject: c.subject.Facts, Caller: caller, Resource: resource},
		Respond: func(ctx context.Context, _ policies.Decision) (enforce.Reply, error) {
			return s.introspected(ctx, r, token)
		},
	}, nil
}

// inactive is all that is said of a token that is dead, or that the caller may not see (RFC 7662, section 2.2).
type inactive struct {
	Active bool `json:"active"`
}

func (s *Server) introspected(ctx context.Context, r *enforce.Request, token *liveToken) (enforce.Reply, error) {
	var said any = inactive{}
	if token != nil {
		body, err := s.described(ctx, token)
		if err != nil {
			return enforce.Reply{}, fmt.Errorf("introspection: %w", err)
		}
		said = body
	}
	return s.introspectionReply(r, said)
}

// introspectionReply is what is said of a token as JSON, or as the signed JWT that the caller accepts (RFC 9701, section 5).
func (s *Server) introspectionReply(r *enforce.Request, said any) (enforce.Reply, error) {
	header := http.Header{"Vary": {"Accept"}}
	noStore(header)
	if !acceptsSigned(r.HTTP.Header.Values("Accept")) {
		return enforce.Reply{Status: http.StatusOK, Header: header, Body: said}, nil
	}
	payload, err := json.Marshal(introspectionJWT{
		Issuer: s.issuer, Audience: []string{r.Caller.ClientID}, IssuedAt: s.now().Unix(), Said: said,
	})
	if err != nil {
		return enforce.Reply{}, fmt.Errorf("introspection: %w", err)
	}
	signed, err := s.keys.current.Load().introspectionSigner().sign(payload)
	if err != nil {
		return enforce.Reply{}, fmt.Errorf("introspection: %w", err)
	}
	header.Set("Content-Type", mediaIntrospection)
	return enforce.Reply{Status: http.StatusOK, Header: header, Body: []byte(signed)}, nil
}

// mediaIntrospection is the media type of RFC 9701, section 4.
const mediaIntrospection = "application/" + typeIntrospection

// introspectionJWT is RFC 9701, section 5. It has neither sub nor exp, so that nobody takes it for an access token: what is said of the
// token is below one claim.
type introspectionJWT struct {
	Issuer   string   `json:"iss"`
	Audience []string `json:"aud"`
	IssuedAt int64    `json:"iat"`
	Said     any      `json:"token_introspection"`
}

// acceptsSigned reports whether a caller names the signed form, and likes JSON no better. A wildcard names nothing: JSON is the form
// that every caller understands.
func acceptsSigned(accept []string) bool {
	signed, plain := 0.0, 0.0
	for _, line := range accept {
		for part := range strings.SplitSeq(line, ",") {
			media, parameters, err := mime.ParseMediaType(part)
			if err != nil {
				continue
			}
			quality := 1.0
			if text, given := parameters["q"]; given {
				if quality, err = strconv.ParseFloat(text, 64); err != nil || !(quality >= 0 && quality <= 1) {
					continue
				}
			}
			switch media {
			case mediaIntrospection:
				signed = max(signed, quality)
			case "application/json":
				plain = max(plain, quality)
			}
		}
	}
	return signed > 0 && signed >= plain
}

// writeUnseen writes a denial of introspection: a client that may not act here at all is refused as by its secret, and for any other
// the token is inactive.
func (s *Server) writeUnseen(w http.ResponseWriter, r *enforce.Request, reasons []policies.Reason) {
	if clientRefused(reasons) {
		s.writeError(w, r, refusal(codeInvalidClient))
		return
	}
	reply, err := s.introspectionReply(r, inactive{})
	if err != nil {
		s.writeError(w, r, err)
		return
	}
	for name, values := range reply.Header {
		w.Header()[name] = values
	}
	if body, signed := reply.Body.([]byte); signed {
		w.WriteHeader(reply.Status)
		_, _ = w.Write(body) // the client is gone if this fails; there is nobody to tell
		return
	}
	writeJSON(w, reply.Status, reply.Body)
}

// clientRefused reports whether what is wrong is the client itself, whatever it asks for.
func clientRefused(reasons []policies.Reason) bool {
	for _, reason := range reasons {
		if denialCode(grantClientCredentials, reason.Code) == codeInvalidClient {
			return true
		}
	}
	return false
}
