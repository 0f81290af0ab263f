package decide

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
)

// Recorder explains what was decided; *policies.PDP does.
type Recorder interface {
	WhyRecorded(ctx context.Context, rec policies.Record) (policies.Explanation, error)
}

// Records shows the decisions that this node took of late. Its rows belong to the management plane.
type Records struct {
	// Node is this run of the node: a cursor of another one is none.
	Node   string
	Recent *policies.Recent
	PDP    Recorder
}

const (
	defaultRecords = 50
	maxRecords     = 100
	// maxLooked bounds how many lines one page is looked for in: each is read anew.
	maxLooked = 2000
)

// recordedDecision is a decision with what the set that serves now says of it.
type recordedDecision struct {
	policies.Record
	Why policies.Explanation `json:"why"`
}

// recordPage is a page of decisions, the newest first. Next is there where there may be more.
type recordPage struct {
	Items []policies.Record `json:"items"`
	Next  string            `json:"next,omitempty"`
}

// Routes are the rows.
func (r *Records) Routes() []enforce.Route {
	list := recordRow("/v1/decisions", r.list)
	list.Query = []string{"limit", "after", "allow", "error", "entrypoint", "subject", "action", "resource_type", "since"}
	list.Shape = &enforce.Shape{
		Summary: "List the decisions that this node took of late, the newest first", Query: recordParameters(),
		Replies: []enforce.ReplyShape{enforce.OK[recordPage]()},
	}
	one := recordRow("/v1/decisions/{id}", r.one)
	one.Shape = &enforce.Shape{
		Summary: "One decision of late, and why it would come out as it does now", Replies: []enforce.ReplyShape{enforce.OK[recordedDecision]()},
	}
	return []enforce.Route{list, one}
}

func recordRow(path string, resolve func(context.Context, *enforce.Request) (enforce.Resolved, error)) enforce.Route {
	return enforce.Route{
		Method: http.MethodGet, Path: path, Entrypoint: policies.EntryAdmin, Type: askType, Action: "read", Obligations: []string{"filter"},
		Resolve: resolve,
	}
}

func recordParameters() map[string]enforce.Parameter {
	flag := []string{"true", "false"}
	return map[string]enforce.Parameter{
		"limit":         {Description: "How many decisions a page has at most; 50 unless set.", Type: reflect.TypeFor[int](), Min: 1, Max: maxRecords},
		"after":         {Description: "The cursor of the page before: the value of next in its reply."},
		"allow":         {Description: "Only permits, or only denials.", Values: flag},
		"error":         {Description: "Only questions without an answer, or only those with one.", Values: flag},
		"entrypoint":    {Description: "Only questions that were put to this entrypoint."},
		"subject":       {Description: "Only questions about this subject: an id, or type:id."},
		"action":        {Description: "Only questions about this action."},
		"resource_type": {Description: "Only questions about objects of this type."},
		"since":         {Description: "Only what was decided from this time on.", Type: reflect.TypeFor[time.Time]()},
	}
}

// collection is the question that both rows ask: a single decision is a list of one, whose tenants are known only when it is found.
func collection() policies.Question {
	return policies.Question{Resource: policies.Resource{TenantEnabled: true, Exists: true, OtherOwners: -1, OwnersBefore: -1}}
}

func (r *Records) list(_ context.Context, request *enforce.Request) (enforce.Resolved, error) {
	wanted, err := readSelection(request.Query)
	if err != nil {
		return enforce.Resolved{}, err
	}
	number, err := r.open(request.Query)
	if err != nil {
		return enforce.Resolved{}, err
	}
	return enforce.Resolved{
		Question: collection(),
		Respond: func(ctx context.Context, d policies.Decision) (enforce.Reply, error) {
			if wanted.seen, err = readTenants(d); err != nil {
				return enforce.Reply{}, err
			}
			page, err := r.page(ctx, number, &wanted)
			return enforce.Reply{Status: http.StatusOK, Body: page}, err
		},
	}, nil
}

// page looks from the newest line on. It ends, perhaps before it is full, where it has looked at much.
func (r *Records) page(ctx context.Context, number uint64, wanted *selection) (recordPage, error) {
	page := recordPage{Items: []policies.Record{}}
	for looked := 0; ; {
		kept := r.Recent.Before(number, maxRecords)
		if len(kept) == 0 {
			return page, ctx.Err()
		}
		for _, k := range kept {
			number = k.Number
			rec, err := policies.ReadRecord(k.Line)
			if err != nil {
				return page, fmt.Errorf("a line of this node's own log: %w", err)
			}
			if looked++; wanted.has(&rec) {
				page.Items = append(page.Items, rec)
			}
			if len(page.Items) == wanted.limit || looked == maxLooked || wanted.before(&rec) {
				if !wanted.before(&rec) && len(r.Recent.Before(number, 1)) > 0 {
					page.Next = r.seal(number)
				}
				return page, ctx.Err()
			}
		}
	}
}

func (r *Records) seal(number uint64) string {
	return base64.RawURLEncoding.EncodeToString([]byte(r.Node + "/" + strconv.FormatUint(number, 10)))
}

// open reads the cursor: the number of the last line that was looked at, of this run of the node.
func (r *Records) open(query map[string]string) (uint64, error) {
	cursor, given := query["after"]
	if !given {
		return 0, nil
	}
	text, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if node, digits, cut := strings.Cut(string(text), "/"); err == nil && cut && node == r.Node {
		if number, err := strconv.ParseUint(digits, 10, 64); err == nil && number > 0 && strconv.FormatUint(number, 10) == digits {
			return number, nil
		}
	}
	return 0, enforce.BadParameter("unknown_cursor", "after", "the cursor is not one of this node since its start")
}

func (r *Records) one(_ context.Context, request *enforce.Request) (enforce.Resolved, error) {
	id := request.Params["id"]
	return enforce.Resolved{
		Question: collection(),
		Respond: func(ctx context.Context, d policies.Decision) (enforce.Reply, error) {
			seen, err := readTenants(d)
			if err != nil {
				return enforce.Reply{}, err
			}
			line, found := r.Recent.Find(id)
			if !found {
				return enforce.Reply{}, noSuchRecord()
			}
			rec, err := policies.ReadRecord(line)
			if err != nil {
				return enforce.Reply{}, fmt.Errorf("a line of this node's own log: %w", err)
			}
			if !seen.all(read(&rec)) {
				return enforce.Reply{}, noSuchRecord()
			}
			why, err := r.PDP.WhyRecorded(ctx, rec)
			if err != nil {
				return enforce.Reply{}, fmt.Errorf("%w: %w", policies.ErrUndecided, err)
			}
			return enforce.Reply{Status: http.StatusOK, Body: recordedDecision{Record: rec, Why: why}}, nil
		},
	}, nil
}

// noSuchRecord is also the reply about one that the caller may not see.
func noSuchRecord() error {
	return &enforce.ProtocolError{
		Status: http.StatusNotFound, Code: "not_found", Detail: "this node has no such decision, or none for you to see; it keeps the last ones only",
	}
}

// selection is what a list is about. An empty text selects all.
type selection struct {
	limit         int
	allow, failed *bool
	// entrypoint, subject, action and resourceType are as the input has them; a subject may be type:id.
	entrypoint, subject, action, resourceType string

	since time.Time
	seen  tenants
}

func readSelection(query map[string]string) (s selection, err error) {
	s.limit = defaultRecords
	for name, value := range query {
		switch name {
		case "limit":
			if s.limit, err = strconv.Atoi(value); err != nil || s.limit < 1 || s.limit > maxRecords || strconv.Itoa(s.limit) != value {
				return s, enforce.BadParameter("bad_limit", name, "the limit is a number from 1 to 100")
			}
		case "allow", "error":
			if value != "true" && value != "false" {
				return s, enforce.BadParameter("bad_filter", name, "want true or false")
			}
			flag := value == "true"
			if name == "allow" {
				s.allow = &flag
			} else {
				s.failed = &flag
			}
		case "since":
			if s.since, err = time.Parse(time.RFC3339, value); err != nil {
				return s, enforce.BadParameter("bad_filter", name, "want a time as in RFC 3339: 2026-01-31T12:00:00Z")
			}
		case "entrypoint":
			s.entrypoint = value
		case "subject":
			s.subject = value
		case "action":
			s.action = value
		case "resource_type":
			s.resourceType = value
		}
		if value == "" {
			return s, enforce.BadParameter("bad_filter", name, "an empty filter selects nothing")
		}
	}
	return s, nil
}

// before says that a line and all older ones were written too early. Lines are written about in the order of their times.
func (s *selection) before(rec *policies.Record) bool {
	const slack = time.Minute
	return !s.since.IsZero() && rec.Time.Before(s.since.Add(-slack))
}

func (s *selection) has(rec *policies.Record) bool {
	switch failed := rec.Error != ""; {
	case s.failed != nil && *s.failed != failed,
		s.allow != nil && (*s.allow != rec.Allow || failed),
		s.entrypoint != "" && s.entrypoint != string(rec.Entrypoint),
		rec.Time.Before(s.since):
		return false
	}
	if s.seen.unlimited && s.subject == "" && s.action == "" && s.resourceType == "" {
		return true
	}
	about := read(rec)
	if s.subject != "" && s.subject != about.Subject.ID && s.subject != about.Subject.Type+":"+about.Subject.ID ||
		s.action != "" && s.action != about.Action.Name || s.resourceType != "" && s.resourceType != about.Resource.Type {
		return false
	}
	return s.seen.all(about)
}

// summary is what a record is selected by.
type summary struct {
	Subject  *entity `json:"subject"`
	Client   *entity `json:"client"`
	Action   named   `json:"action"`
	Resource struct {
		entity
		Before *entity `json:"before"`
		After  *entity `json:"after"`
	} `json:"resource"`
	// whole says that it tells all tenants that the record is about: nothing that would is masked.
	whole bool
}

type named struct {
	Name string `json:"name"`
}

// read reads what it can: where an author masks a whole subject, its type is not there.
func read(rec *policies.Record) summary {
	s := summary{Subject: &entity{}}
	s.whole = json.Unmarshal(rec.Input, &s) == nil && s.Subject != nil && string(rec.Input) != "null"
	if s.Subject == nil {
		s.Subject = &entity{}
	}
	return s
}

// tenants are those whose records a reader sees: all of them, or all that tell of nothing but these.
type tenants struct {
	unlimited bool
	names     []string
}

// readTenants reads the filter of a decision. An obligation that is not understood is no permit.
func readTenants(d policies.Decision) (tenants, error) {
	if d.Obligations.Filter == nil {
		return tenants{unlimited: true}, nil
	}
	list, ok := d.Obligations.Filter["tenants"].([]any)
	if !ok || len(d.Obligations.Filter) != 1 {
		return tenants{}, fmt.Errorf("%w: the filter of a list names tenants and nothing else", policies.ErrUndecided)
	}
	var t tenants
	for _, value := range list {
		name, ok := value.(string)
		if !ok {
			return tenants{}, fmt.Errorf("%w: a filter has lists of strings", policies.ErrUndecided)
		}
		t.names = append(t.names, name)
	}
	return t, nil
}

// all says whether a record tells of nobody and nothing outside these tenants: neither the object nor the subject nor anybody else
// whose facts stand in the input.
func (t tenants) all(about summary) bool {
	if t.unlimited {
		return true
	}
	if !about.whole {
		return false
	}
	for _, i := range []*entity{about.Subject, about.Client, &about.Resource.entity, about.Resource.Before, about.Resource.After} {
		if i != nil && !slices.Contains(t.names, i.Tenant) {
			return false
		}
	}
	return true
}
