package decide

import (
	"context"
	"encoding/json"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
)

const (
	defaultResults = 100
	maxResults     = 1000
	// maxVerified is how many candidates one page asks about. A page of which few are permitted is short and has a next one.
	maxVerified = 1000
)

// searchRequest is AuthZEN 1.0, section 8: a question in which one part has a type only. What else is said of that part is ignored.
type searchRequest struct {
	Subject  *entity         `json:"subject"`
	Action   *action         `json:"action"`
	Resource *entity         `json:"resource"`
	Context  json.RawMessage `json:"context"`
	Page     *pageRequest    `json:"page"`
}

// actionSearchRequest has no action: one that is sent is not known, and ignored.
type actionSearchRequest struct {
	Subject  *entity         `json:"subject"`
	Resource *entity         `json:"resource"`
	Context  json.RawMessage `json:"context"`
	Page     *pageRequest    `json:"page"`
}

type pageRequest struct {
	Token string `json:"token"`
	Limit *int   `json:"limit"`
}

// pageReply is AuthZEN 1.0, section 8.2. There is no total: it would take a decision about everybody.
type pageReply struct {
	NextToken string `json:"next_token"`
	Count     int    `json:"count"`
}

type entitySearchReply struct {
	Page    pageReply     `json:"page"`
	Results []foundEntity `json:"results"`
}

type foundEntity struct {
	Type string `json:"type"`
	ID   string `json:"id"`
}

type actionSearchReply struct {
	Page    pageReply     `json:"page"`
	Results []foundAction `json:"results"`
}

type foundAction struct {
	Name string `json:"name"`
}

// search is one on its way. Found gives each candidate as it would be asked about.
type search struct {
	api     *API
	request *enforce.Request
	parent  policies.Decision
	// what is looked for, with all that a token of this search is bound to.
	what  string
	asked evaluationRequest
	ip    netip.Addr
	token string
	limit int
}

// candidate is something that may be a result: a name in its source's order, and the question that tells.
type candidate struct {
	place, result string
	question      policies.Question
	// judged candidates were asked about before.
	judged bool
}

// source gives candidates in order, behind a place, and fewer than limit only at its end.
type source func(ctx context.Context, after string, limit int) ([]candidate, error)

// newSearch checks what was sent. Blank is the part that is looked for.
func (a *API) newSearch(r *enforce.Request, what string, in searchRequest, blank func(*evaluationRequest)) (*search, error) {
	s := &search{api: a, request: r, what: what, limit: defaultResults}
	s.asked = evaluationRequest{Subject: in.Subject, Action: in.Action, Resource: in.Resource, Context: in.Context}
	blank(&s.asked)
	var err error
	if s.ip, err = s.asked.check(); err != nil {
		return nil, err
	}
	if in.Page == nil {
		return s, nil
	}
	s.token = in.Page.Token
	if in.Page.Limit != nil {
		if s.limit = *in.Page.Limit; s.limit < 1 {
			return nil, enforce.BadRequest("bad_limit", "/page/limit", "want a number from 1 to "+strconv.Itoa(maxResults))
		}
		s.limit = min(s.limit, maxResults)
	}
	if s.token != "" {
		if _, _, err := s.place(); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// unnamed stands for the id or the name that is looked for, while the rest of a question is checked.
const unnamed = "?"

// searchSubject answers POST /access/v1/search/subject.
func (a *API) searchSubject(_ context.Context, r *enforce.Request) (enforce.Resolved, error) {
	var in searchRequest
	if err := r.Decode(&in); err != nil {
		return enforce.Resolved{}, err
	}
	s, err := a.newSearch(r, "subject", in, func(q *evaluationRequest) {
		if q.Subject != nil {
			q.Subject = &entity{Type: q.Subject.Type, ID: unnamed}
		}
	})
	if err != nil {
		return enforce.Resolved{}, err
	}
	return s.resolved(asked{}, func(ctx context.Context) ([]source, error) {
		known, err := s.known(ctx, asked{facts: policies.Nobody(in.Subject.Type, "")}, "", s.asked.Resource.ID, s.asked.Action.Name)
		if err != nil {
			return nil, err
		}
		return []source{s.facts(known, s.aboutSubject), s.holders(known)}, nil
	}), nil
}

// searchResource answers POST /access/v1/search/resource.
func (a *API) searchResource(ctx context.Context, r *enforce.Request) (enforce.Resolved, error) {
	var in searchRequest
	if err := r.Decode(&in); err != nil {
		return enforce.Resolved{}, err
	}
	s, err := a.newSearch(r, "resource", in, func(q *evaluationRequest) {
		if q.Resource != nil {
			q.Resource = &entity{Type: q.Resource.Type, Tenant: q.Resource.Tenant, ID: unnamed}
		}
	})
	if err != nil {
		return enforce.Resolved{}, err
	}
	found, err := a.find(ctx, r, *s.asked.Subject, s.ip)
	if err != nil {
		return enforce.Resolved{}, err
	}
	return s.resolved(found, func(ctx context.Context) ([]source, error) {
		known, err := s.known(ctx, found, s.asked.Subject.ID, "", s.asked.Action.Name)
		if err != nil {
			return nil, err
		}
		known = merged(known, singleResources(found, s.asked.Resource.Type))
		return []source{s.facts(known, func(_ context.Context, id string) (candidate, error) {
			q := s.asked
			q.Resource = &entity{Type: q.Resource.Type, Tenant: q.Resource.Tenant, ID: id}
			return candidate{place: id, result: id, question: q.question(found, r)}, nil
		})}, nil
	}), nil
}

// searchAction answers POST /access/v1/search/action.
func (a *API) searchAction(ctx context.Context, r *enforce.Request) (enforce.Resolved, error) {
	var in actionSearchRequest
	if err := r.Decode(&in); err != nil {
		return enforce.Resolved{}, err
	}
	whole := searchRequest{Subject: in.Subject, Resource: in.Resource, Context: in.Context, Page: in.Page}
	s, err := a.newSearch(r, "action", whole, func(q *evaluationRequest) { q.Action = &action{Name: unnamed} })
	if err != nil {
		return enforce.Resolved{}, err
	}
	found, err := a.find(ctx, r, *s.asked.Subject, s.ip)
	if err != nil {
		return enforce.Resolved{}, err
	}
	return s.resolved(found, func(ctx context.Context) ([]source, error) {
		known, err := s.known(ctx, found, s.asked.Subject.ID, s.asked.Resource.ID, "")
		if err != nil {
			return nil, err
		}
		known = merged(known, a.namedActions(found, policies.Resource{Type: s.asked.Resource.Type, ID: s.asked.Resource.ID}))
		return []source{s.facts(known, func(_ context.Context, name string) (candidate, error) {
			q := s.asked
			q.Action = &action{Name: name}
			return candidate{place: name, result: name, question: q.question(found, r)}, nil
		})}, nil
	}), nil
}

// resolved asks whether the caller may ask, and then looks through the sources.
func (s *search) resolved(found asked, sources func(context.Context) ([]source, error)) enforce.Resolved {
	return enforce.Resolved{
		Question: right(found, s.asked.Resource.Tenant),
		Respond: func(ctx context.Context, parent policies.Decision) (enforce.Reply, error) {
			ctx, cancel := context.WithTimeout(ctx, requestDeadline)
			defer cancel()
			s.parent = parent
			from, err := sources(ctx)
			if err != nil {
				return enforce.Reply{}, err
			}
			results, next, err := s.page(ctx, from)
			if err != nil {
				return enforce.Reply{}, err
			}
			return enforce.Reply{Status: http.StatusOK, Header: echo(s.request), Body: s.reply(results, next)}, nil
		},
	}
}

func (s *search) reply(results []string, next string) any {
	page := pageReply{NextToken: next, Count: len(results)}
	if s.what == "action" {
		reply := actionSearchReply{Page: page, Results: make([]foundAction, len(results))}
		for n, name := range results {
			reply.Results[n].Name = name
		}
		return reply
	}
	kind := s.asked.Subject.Type
	if s.what == "resource" {
		kind = s.asked.Resource.Type
	}
	reply := entitySearchReply{Page: page, Results: make([]foundEntity, len(results))}
	for n, id := range results {
		reply.Results[n] = foundEntity{kind, id}
	}
	return reply
}

// page asks about candidates from the token's place on until it has enough results. Only what it returns was verified, and what it
// passed over; there is a next page if another candidate was seen.
func (s *search) page(ctx context.Context, sources []source) (results []string, next string, err error) {
	at, after, err := s.place()
	if err != nil {
		return nil, "", err
	}
	results = []string{}
	verified := 0
	for n := at; n < len(sources); n++ {
		from := after
		if n > at {
			from = ""
		}
		for {
			limit := min(s.limit-len(results)+1, maxVerified)
			batch, err := sources[n](ctx, from, limit)
			if err != nil {
				return nil, "", err
			}
			for i := range batch {
				if len(results) == s.limit || verified == maxVerified {
					return results, s.seal(at, after), nil
				}
				at, after, from = n, batch[i].place, batch[i].place
				if batch[i].judged {
					continue
				}
				verified++
				decision, err := s.api.answer(ctx, s.request, s.parent, &batch[i].question, false)
				if err != nil {
					return nil, "", err
				}
				if decision.Allow {
					results = append(results, batch[i].result)
				}
			}
			if len(batch) < limit {
				break
			}
		}
	}
	return results, "", nil
}

// bound is all that a token is good for: this search with what it asks, and nothing of what it looks for.
func (s *search) bound() string {
	text, err := json.Marshal([]any{s.what, s.asked.Subject, s.asked.Action, s.asked.Resource, s.asked.Context})
	if err != nil {
		return "" // raw messages that were read a moment ago are JSON
	}
	return string(text)
}

func (s *search) seal(source int, after string) string {
	return s.api.Pages.SealPage(s.bound(), strconv.Itoa(source)+" "+after)
}

// place is where the page begins.
func (s *search) place() (source int, after string, err error) {
	if s.token == "" {
		return 0, "", nil
	}
	place, ok := s.api.Pages.OpenPage(s.bound(), s.token)
	number, after, cut := strings.Cut(place, " ")
	source, err = strconv.Atoi(number)
	if !ok || !cut || err != nil {
		return 0, "", enforce.BadRequest("unknown_token", "/page/token", "the token is not one of this search with these parameters")
	}
	return source, after, nil
}

// known is what an application policy knows of that which is left out.
func (s *search) known(ctx context.Context, found asked, subject, resource, name string) ([]string, error) {
	if subject != "" {
		subject = found.facts.Identity().ID
	}
	q := s.asked
	q.Subject = &entity{Type: q.Subject.Type, ID: subject, Properties: q.Subject.Properties}
	q.Resource = &entity{Type: q.Resource.Type, Tenant: q.Resource.Tenant, ID: resource, Properties: q.Resource.Properties}
	q.Action = &action{Name: name, Properties: q.Action.Properties}
	question := q.question(found, s.request)
	return s.api.PDP.Candidates(ctx, &question)
}

// facts is the source of names that are known beforehand, in order.
func (s *search) facts(names []string, about func(context.Context, string) (candidate, error)) source {
	return func(ctx context.Context, after string, limit int) ([]candidate, error) {
		first, found := slices.BinarySearch(names, after)
		if found {
			first++
		}
		rest := names[first:]
		batch := make([]candidate, 0, min(limit, len(rest)))
		for _, name := range rest[:min(limit, len(rest))] {
			c, err := about(ctx, name)
			if err != nil {
				return nil, err
			}
			batch = append(batch, c)
		}
		return batch, nil
	}
}

func (s *search) aboutSubject(ctx context.Context, id string) (candidate, error) {
	q := s.asked
	q.Subject = &entity{Type: q.Subject.Type, ID: id}
	found, err := s.api.find(ctx, s.request, *q.Subject, s.ip)
	if err != nil {
		return candidate{}, err
	}
	return candidate{place: id, result: found.facts.Identity().ID, question: q.question(found, s.request)}, nil
}

// holders is the source of stored subjects that have a grant which may cover the question. Those that the application knows as well,
// by id or by name, came with its facts.
func (s *search) holders(known []string) source {
	resource := policies.Resource{Type: s.asked.Resource.Type, ID: s.asked.Resource.ID}
	holding := enforce.Holding{
		Type: s.asked.Subject.Type, Tenants: []string{s.asked.Resource.Tenant, anyTenant}, Resources: resource.Covers(),
		Actions: s.api.PDP.Catalogue().Giving(s.asked.Action.Name),
	}
	named := func(name string) bool { _, found := slices.BinarySearch(known, name); return found }
	return func(ctx context.Context, after string, limit int) ([]candidate, error) {
		subjects, err := s.api.Holders.Holders(ctx, holding, after, limit)
		if err != nil {
			return nil, err
		}
		batch := make([]candidate, len(subjects))
		for n, subject := range subjects {
			q := s.asked
			q.Subject = &entity{Type: subject.Type, ID: subject.ID}
			batch[n] = candidate{
				place: subject.ID, result: subject.ID, question: q.question(s.api.stored(s.request, subject, s.ip), s.request),
				judged: named(subject.ID) || subject.Type == "user" && named(subject.Name),
			}
		}
		return batch, nil
	}
}

// singleResources are the ids of a type that the subject's grants, or the scopes that limit them, name one by one. What a grant on
// the whole type covers cannot be listed: Writ does not hold it.
func singleResources(found asked, kind string) []string {
	var ids []string
	note := func(resource string) {
		if id, below := strings.CutPrefix(resource, kind+"/"); below && !strings.Contains(id, "/") {
			ids = append(ids, id)
		}
	}
	for _, grant := range found.facts.Identity().Grants {
		note(grant.Resource)
	}
	for _, scope := range scopesOf(found) {
		note(scope[0])
	}
	return ids
}

// namedActions are the actions that the catalogue has for the resource, or a grant or scope of the subject on it or above it names.
func (a *API) namedActions(found asked, resource policies.Resource) []string {
	covers := resource.Covers()
	var names []string
	note := func(resource, action string) {
		if action != anyAction && slices.Contains(covers, resource) {
			names = append(names, action)
		}
	}
	for _, kind := range a.PDP.Catalogue().Types() {
		for _, action := range kind.Actions {
			note(kind.Type, action.Name)
		}
	}
	for _, grant := range found.facts.Identity().Grants {
		note(grant.Resource, grant.Action)
	}
	for _, scope := range scopesOf(found) {
		note(scope[0], scope[1])
	}
	return names
}

// anyAction is the action of grants that are about every action; it is none itself.
const anyAction = "*"

// scopesOf are the scopes that limit the subject in a question, as resource and action.
func scopesOf(found asked) [][2]string {
	var scopes [][2]string
	for _, scope := range found.caller.Scopes.List() {
		if resource, action, err := policies.ParsePermission(scope); err == nil {
			scopes = append(scopes, [2]string{resource, action})
		}
	}
	return scopes
}

// merged is what two lists have, in order.
func merged(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}
