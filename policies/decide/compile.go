package decide

import (
	"context"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
)

// The media types of filters. Those of UCAST are OPA's.
const (
	mediaAll     = "application/vnd.opa.ucast.all+json"
	mediaMinimal = "application/vnd.opa.ucast.minimal+json"
	mediaPrisma  = "application/vnd.opa.ucast.prisma+json"
	mediaLINQ    = "application/vnd.opa.ucast.linq+json"
	mediaMongoDB = "application/vnd.writ.mongodb+json"
)

// medium is a media type and what it holds.
type medium struct {
	media string
	form  policies.FilterForm
}

// media lists what filters may be asked for as, in the order of preference.
func media() []medium {
	return []medium{
		{mediaAll, policies.FilterAll},
		{mediaMinimal, policies.FilterMinimal},
		{mediaPrisma, policies.FilterPrisma},
		{mediaLINQ, policies.FilterLINQ},
		{mediaMongoDB, policies.FilterMongoDB},
	}
}

// maxUnknowns bounds the lists of a request.
const maxUnknowns = 100

// compileRequest is that of OPA's compile API. Unknowns, where they are given, are among those that the policy names.
type compileRequest struct {
	Input    *dataInput `json:"input"`
	Unknowns *[]string  `json:"unknowns"`
	Options  struct {
		// Mappings are the names that fields have in the caller's database, where they differ.
		Mappings map[string]string `json:"mappings"`
	} `json:"options"`
}

// compileReply is that of OPA's compile API.
type compileReply struct {
	Result     filterResult `json:"result"`
	DecisionID string       `json:"decision_id"`
}

// filterResult is a filter. A query that is absent selects nothing, one without members everything.
type filterResult struct {
	Query *map[string]any `json:"query,omitempty"`
	Masks json.RawMessage `json:"masks,omitempty"`
}

// mappedName is what a caller may call a field.
var mappedName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]{0,63}$`)

// compile answers POST /v1/compile/{entrypoint}: the filter of all objects of a type for which a question would be permitted.
func (a *API) compile(ctx context.Context, r *enforce.Request) (enforce.Resolved, error) {
	var in compileRequest
	if err := r.Decode(&in); err != nil {
		return enforce.Resolved{}, err
	}
	wanted, err := accepted(r.HTTP.Header.Values("Accept"))
	if err != nil {
		return enforce.Resolved{}, err
	}
	name := document(r)
	if !a.Documents.Filters(name) {
		return enforce.Resolved{}, notPublished()
	}
	if err := in.check(); err != nil {
		return enforce.Resolved{}, err
	}
	q, err := a.prepare(ctx, r, name, in.Input, "/input")
	if err != nil {
		return enforce.Resolved{}, err
	}
	if q.question.Resource.ID != "" {
		return enforce.Resolved{}, enforce.BadRequest("malformed_value", "/input/resource/id", "a filter is about all objects of the type: leave the id out")
	}
	return enforce.Resolved{
		Question: right(q.found, q.question.Resource.Tenant),
		Respond: func(ctx context.Context, parent policies.Decision) (enforce.Reply, error) {
			return a.filter(ctx, r, parent, name, &q.question, &in, wanted)
		},
	}, nil
}

func (in *compileRequest) check() error {
	if in.Unknowns != nil && len(*in.Unknowns) > maxUnknowns {
		return enforce.BadRequest("too_large", "/unknowns", "fewer names are accepted")
	}
	if len(in.Options.Mappings) > maxUnknowns {
		return enforce.BadRequest("too_large", "/options/mappings", "fewer names are accepted")
	}
	for field, name := range in.Options.Mappings {
		if !mappedName.MatchString(name) {
			return enforce.BadRequest("malformed_value", "/options/mappings/"+escaped(field), "a name is letters, digits, _ and -")
		}
	}
	return nil
}

// accepted chooses the first form that the caller accepts, in the caller's order. Who accepts anything gets the whole of UCAST.
func accepted(headers []string) (medium, error) {
	given := strings.Join(headers, ",")
	if strings.TrimSpace(given) == "" {
		return media()[0], nil
	}
	for wanted := range strings.SplitSeq(given, ",") {
		kind, parameters, err := mime.ParseMediaType(wanted)
		if err != nil || parameters["q"] == "0" {
			continue
		}
		if kind == "*/*" || kind == "application/*" {
			return media()[0], nil
		}
		if at := slices.IndexFunc(media(), func(m medium) bool { return m.media == kind }); at >= 0 {
			return media()[at], nil
		}
	}
	return medium{}, notAcceptable("filters are " + mediaAll + ", …minimal, …prisma, …linq, and " + mediaMongoDB)
}

func notAcceptable(detail string) error {
	return &enforce.ProtocolError{Status: http.StatusNotAcceptable, Code: "not_acceptable", Detail: detail}
}

// filter makes the filter and writes the line of its question.
func (a *API) filter(
	ctx context.Context, r *enforce.Request, parent policies.Decision, name string, q *policies.Question, in *compileRequest, wanted medium,
) (enforce.Reply, error) {
	var unknowns []string
	if in.Unknowns != nil {
		unknowns = append([]string{}, *in.Unknowns...)
	}
	var filter *policies.Filter
	decision, err := a.logged(r, parent, q, func() (policies.Decision, error) {
		d, made, err := a.Documents.Filter(ctx, name, q, unknowns)
		filter = made
		return d, err
	})
	var untranslatable *policies.FilterError
	switch {
	case errors.Is(err, policies.ErrNotPublished):
		return enforce.Reply{}, notPublished()
	case errors.Is(err, policies.ErrUnknown):
		return enforce.Reply{}, enforce.BadRequest("malformed_value", "/unknowns", "only what the policy names as unknown can be, or less of it")
	case errors.As(err, &untranslatable):
		return enforce.Reply{}, enforce.BadRequest("no_filter", "/input", "no filter can be made for this question: "+place(untranslatable))
	case err != nil:
		return enforce.Reply{}, err
	}
	query, err := filter.Render(wanted.form, in.Options.Mappings)
	if errors.Is(err, policies.ErrFilterForm) {
		return enforce.Reply{}, notAcceptable("the policy compares in ways that this form has no word for; " + mediaAll + " has them all")
	}
	if err != nil {
		return enforce.Reply{}, err
	}
	result := filterResult{Masks: filter.Masks}
	if query != nil {
		result.Query = &query
	}
	return enforce.Reply{
		Status: http.StatusOK, Header: http.Header{"Content-Type": {wanted.media}}, Body: compileReply{Result: result, DecisionID: decision.ID},
	}, nil
}

// place says what stands in the way of a filter, without the values that the policy compares: the asker may not know them.
func place(e *policies.FilterError) string {
	first := e.Problems[0]
	if first.Line == 0 {
		return first.Message
	}
	return "the comparison at " + path.Base(first.File) + ":" + strconv.Itoa(first.Line) + " has something that no filter can name on one side"
}
