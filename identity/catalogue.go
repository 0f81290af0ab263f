package identity

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
)

// catalogueView is the known types with their actions, and what the reason codes mean.
type catalogueView struct {
	// Groups are the groups of all types, found or not, so that one can be chosen.
	Groups  []string                       `json:"groups"`
	Types   []policies.CatalogueType       `json:"types"`
	Reasons map[string]policies.ReasonText `json:"reasons"`
}

// getCatalogue shows the known types and actions: those of a group, and of these what q finds in type, title or group.
func (r *Room) getCatalogue(_ context.Context, req *enforce.Request) (enforce.Resolved, error) {
	q, given := req.Query["q"]
	if given && q == "" {
		return enforce.Resolved{}, enforce.BadParameter("bad_filter", "q", "an empty search finds nothing")
	}
	group, grouped := req.Query["group"]
	if grouped && group == "" {
		return enforce.Resolved{}, enforce.BadParameter("bad_filter", "group", "no group has an empty name")
	}
	return enforce.Resolved{
		Question: policies.Question{Resource: resource(standing{r.directory}, "", "", true)},
		Respond: func(context.Context, policies.Decision) (enforce.Reply, error) {
			c := r.config.PDP.Catalogue()
			shown := catalogueView{Groups: []string{}, Types: []policies.CatalogueType{}, Reasons: c.Reasons()}
			for _, t := range c.Types() {
				if t.Group != "" && !slices.Contains(shown.Groups, t.Group) {
					shown.Groups = append(shown.Groups, t.Group)
				}
				if !grouped || t.Group == group {
					shown.Types = append(shown.Types, t)
				}
			}
			slices.Sort(shown.Groups)
			shown.Types = search(shown.Types, q)
			return enforce.Reply{Status: http.StatusOK, Body: shown}, nil
		},
	}, nil
}

// search keeps the types, and of them the actions, in which text is found literally, whatever its case. A type that is found
// itself keeps all its actions.
func search(types []policies.CatalogueType, text string) []policies.CatalogueType {
	if text == "" {
		return types
	}
	text = strings.ToLower(text)
	has := func(s string) bool { return strings.Contains(strings.ToLower(s), text) }
	found := []policies.CatalogueType{}
	for _, t := range types {
		if !has(t.Type) && !has(t.Title) && !has(t.Group) {
			var actions []policies.CatalogueAction
			for _, a := range t.Actions {
				if has(a.Name) || has(a.Title) {
					actions = append(actions, a)
				}
			}
			if t.Actions = actions; len(actions) == 0 {
				continue
			}
		}
		found = append(found, t)
	}
	return found
}
