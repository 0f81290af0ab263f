package identity

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

// precondition is what If-Match and If-None-Match ask for (RFC 9110, 13.1). They are read before the decision and held against
// the object after it, so that they tell nothing to a caller who may not see it.
type precondition struct {
	match, noneMatch tags
	// possible says that the request changes one object with a version, which it could name.
	possible bool
}

// tags is a parsed list of entity tags.
type tags struct {
	given  bool
	any    bool
	strong []string // opaque tags with their quotes
	weak   []string
}

// etag names one state of one object: its version, and when it was created, because an id that is used anew begins at version 1.
func etag(m storage.Meta) string {
	return `"` + strconv.FormatInt(m.CreatedAt.UnixMilli(), 36) + "-" + strconv.FormatInt(m.Version, 10) + `"`
}

func preconditionOf(h http.Header) (precondition, error) {
	match, err := parseTags(h, "If-Match")
	if err != nil {
		return precondition{}, err
	}
	noneMatch, err := parseTags(h, "If-None-Match")
	return precondition{match: match, noneMatch: noneMatch, possible: true}, err
}

func parseTags(h http.Header, name string) (tags, error) {
	values := h.Values(name)
	if len(values) == 0 {
		return tags{}, nil
	}
	t := tags{given: true}
	rest := strings.TrimSpace(strings.Join(values, ","))
	if rest == "*" {
		t.any = true
		return t, nil
	}
	malformed := &enforce.ProtocolError{
		Status: http.StatusBadRequest, Code: "malformed_precondition",
		Detail: name + ` is * or a list of entity tags in quotes, as an ETag header gives them`,
	}
	for {
		tag, weak := strings.CutPrefix(rest, "W/")
		if !strings.HasPrefix(tag, `"`) {
			return tags{}, malformed
		}
		end := strings.IndexByte(tag[1:], '"')
		if end < 0 {
			return tags{}, malformed
		}
		opaque := tag[:end+2]
		if weak {
			t.weak = append(t.weak, opaque)
		} else {
			t.strong = append(t.strong, opaque)
		}
		rest = strings.TrimSpace(tag[end+2:])
		if rest == "" {
			return t, nil
		}
		next, more := strings.CutPrefix(rest, ",")
		if !more {
			return tags{}, malformed
		}
		rest = strings.TrimSpace(next)
	}
}

// check holds the precondition of a write against the object's version, 0 where it does not exist.
func (p precondition) check(m storage.Meta) error {
	exists := m.Version != 0
	if p.match.given && (!exists || !p.match.any && !slices.Contains(p.match.strong, etag(m))) {
		return &enforce.ProtocolError{
			Status: http.StatusPreconditionFailed, Code: "precondition_failed", Detail: "the object is not the version that If-Match names",
		}
	}
	if p.noneMatch.given && exists && (p.noneMatch.any || p.noneMatch.has(m)) {
		return &enforce.ProtocolError{
			Status: http.StatusPreconditionFailed, Code: "precondition_failed", Detail: "If-None-Match names a version that exists",
		}
	}
	return nil
}

// has compares weakly, as If-None-Match demands.
func (t tags) has(m storage.Meta) bool {
	return slices.Contains(t.strong, etag(m)) || slices.Contains(t.weak, etag(m))
}

// read answers a GET of an object: 304 if the caller has this version, else the body with its ETag.
func (p precondition) read(m storage.Meta, body any) (enforce.Reply, error) {
	header := http.Header{"Etag": {etag(m)}}
	if p.match.given {
		if err := (precondition{match: p.match}).check(m); err != nil {
			return enforce.Reply{}, err
		}
	}
	if p.noneMatch.given && (p.noneMatch.any || p.noneMatch.has(m)) {
		return enforce.Reply{Status: http.StatusNotModified, Header: header}, nil
	}
	return enforce.Reply{Status: http.StatusOK, Header: header, Body: body}, nil
}
