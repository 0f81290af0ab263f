package lerian

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/writ-authz/writ/cmd/writ/dialects"
)

// segment is a resource of Lerian's as one segment of Writ's: there resources are compared as whole texts, and a right to "users" is none to
// "users/password". A dot is what the slash becomes.
func segment(resource string) string { return strings.ReplaceAll(resource, "/", ".") }

type authorizeRequest struct {
	Sub        string            `json:"sub"`
	Resource   string            `json:"resource"`
	Action     string            `json:"action"`
	ClientIP   *string           `json:"clientIp"`
	Attributes map[string]string `json:"attributes"`
}

// entity is a subject or a resource of the native question.
type entity struct {
	Type       string            `json:"type"`
	ID         string            `json:"id"`
	Tenant     string            `json:"tenant,omitempty"`
	Properties map[string]string `json:"properties,omitempty"`
}

// question is the native one.
type question struct {
	Subject entity `json:"subject"`
	Action  struct {
		Name string `json:"name"`
	} `json:"action"`
	Resource entity `json:"resource"`
	Context  struct {
		IP *string `json:"ip,omitempty"`
	} `json:"context"`
	Options struct {
		Reasons bool `json:"reasons"`
	} `json:"options"`
}

// question is about an object that belongs to the tenant of the caller's token: a body names none. A resource has no id there, so the
// question is about the whole type, which "*" stands for.
func (in *authorizeRequest) question(c *dialects.Call, caller claims) *question {
	q := &question{Subject: in.subject(c), Resource: entity{Type: segment(in.Resource), ID: "*", Tenant: caller.Tenant, Properties: in.Attributes}}
	q.Action.Name, q.Context.IP = in.Action, in.ClientIP
	return q
}

// subject is whom the question is about: <owner>/<id> is a person, admin/<service>-editor-role is how the vendor's client calls the
// application whose token it has received, and a name without a slash is an application.
func (in *authorizeRequest) subject(c *dialects.Call) entity {
	owner, id, split := strings.Cut(in.Sub, "/")
	switch {
	case split && owner == "admin" && strings.HasSuffix(id, "-editor-role"):
		return entity{Type: "token", ID: cmp.Or(token(c), "none")}
	case split:
		return entity{Type: "user", ID: id}
	default:
		return entity{Type: "application", ID: in.Sub}
	}
}

type decision struct {
	Decision bool `json:"decision"`
	Context  struct {
		Reasons []struct {
			Code string `json:"code"`
		} `json:"reasons"`
	} `json:"context"`
}

func (d *decision) unknownSubject() bool {
	for _, reason := range d.Context.Reasons {
		if reason.Code == "no_such_subject" {
			return true
		}
	}
	return false
}

// authorize is POST /v1/authorize. Denied is an answer, and no subject is an error; which of the two it is takes the reasons of a denial.
func authorize(c *dialects.Call) (dialects.Reply, error) {
	var in authorizeRequest
	if err := c.Decode(&in); err != nil {
		return dialects.Reply{}, err
	}
	if err := dialects.Require("sub", in.Sub, "resource", in.Resource, "action", in.Action); err != nil {
		return dialects.Reply{}, err
	}
	caller := said(c)
	q := in.question(c, caller)
	given, err := ask(c, q)
	if err != nil {
		return dialects.Reply{}, err
	}
	_, id, _ := strings.Cut(in.Sub, "/")
	if !given.Decision && id != caller.Subject && in.Sub != caller.Subject {
		q.Options.Reasons = true
		if given, err = ask(c, q); err != nil {
			return dialects.Reply{}, err
		}
		if given.unknownSubject() {
			return dialects.Reply{}, worded(http.StatusNotFound, "AUT-1015")
		}
	}
	return dialects.Reply{Status: http.StatusOK, Body: map[string]any{
		"authorized": given.Decision, "timestamp": c.Now().UTC(),
	}}, nil
}

func ask(c *dialects.Call, q *question) (given decision, err error) {
	answer, err := c.JSON(http.MethodPost, "/access/v1/evaluation", nil, q)
	if err != nil {
		return given, err
	}
	return given, answer.Decode(&given)
}

// permissions is GET /v1/permissions: what the caller's own token can do in its tenant, by resource. What Lerian has no name for, a resource
// of several segments, is not in it, and cannot be asked about at /v1/authorize either.
func permissions(c *dialects.Call) (dialects.Reply, error) {
	if token(c) == "" { // the question names it
		return dialects.Reply{}, worded(http.StatusUnauthorized, "AUT-0006")
	}
	caller := said(c)
	answer, err := c.JSON(http.MethodPost, "/v1/permissions", nil, map[string]any{
		"subject": map[string]any{"type": "token", "id": token(c), "tenant": caller.Tenant},
	})
	if err != nil {
		return dialects.Reply{}, err
	}
	var native struct {
		Permissions []struct {
			Tenant   string `json:"tenant"`
			Resource string `json:"resource"`
			Action   string `json:"action"`
		} `json:"permissions"`
	}
	if err := answer.Decode(&native); err != nil {
		return dialects.Reply{}, err
	}
	held := map[string][]string{}
	for _, p := range native.Permissions {
		here := p.Tenant == caller.Tenant || p.Tenant == "*"
		if name := strings.ReplaceAll(p.Resource, ".", "/"); here && !strings.Contains(p.Resource, "/") && !slices.Contains(held[name], p.Action) {
			held[name] = append(held[name], p.Action)
		}
	}
	return dialects.Reply{Status: http.StatusOK, Body: held}, nil
}
