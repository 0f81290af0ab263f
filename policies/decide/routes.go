package decide

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
)

// Tokens turns an access token that somebody received into the caller it stands for. A dead one is enforce.ErrUnauthenticated.
type Tokens interface {
	Token(ctx context.Context, raw string) (*enforce.Caller, error)
}

// PDP decides, and says more of its answers than the enforcement needs.
type PDP interface {
	enforce.Decider
	Detail(ctx context.Context, d policies.Decision) (policies.Detail, error)
	Candidates(ctx context.Context, q *policies.Question) ([]string, error)
}

// Pages seals the place where a search goes on, so that a token is good for that search alone.
type Pages interface {
	SealPage(search, place string) string
	// OpenPage returns false for what no node of ours sealed for this search.
	OpenPage(search, token string) (place string, ok bool)
}

// Config is what the decision API stands on.
type Config struct {
	// BaseURL is the public listener's URL as clients know it, without a slash at the end; metadata is built from it alone.
	BaseURL string
	PDP     PDP
	Log     *policies.Log
	// Documents are answered by the same policies as PDP.
	Documents Documents
	Directory enforce.Directory
	Holders   enforce.Holders
	Pages     Pages
	Tokens    Tokens
	Logger    *slog.Logger
}

// API answers questions.
type API struct{ Config }

// New returns the decision API, or an error if a part is missing.
func New(c Config) (*API, error) {
	if c.BaseURL == "" || c.PDP == nil || c.Log == nil || c.Documents == nil || c.Directory == nil || c.Holders == nil || c.Pages == nil ||
		c.Tokens == nil || c.Logger == nil {
		return nil, errors.New("decision API: a base URL, a PDP, its documents and log, a directory, holders, pages, tokens and a logger are needed")
	}
	return &API{Config: c}, nil
}

// The rows ask whether the caller may ask; what was asked is decided in respond.
const (
	askType   = "decisions"
	askAction = "ask"
	// explainAction is the right to see what is behind an answer.
	explainAction = "explain"
)

// The paths of AuthZEN, which the metadata names.
const (
	pathEvaluation     = "/access/v1/evaluation"
	pathEvaluations    = "/access/v1/evaluations"
	pathSearchSubject  = "/access/v1/search/subject"
	pathSearchResource = "/access/v1/search/resource"
	pathSearchAction   = "/access/v1/search/action"
)

// AuthZENRoutes are the rows whose errors are AuthZEN's.
func (a *API) AuthZENRoutes() []enforce.Route {
	return []enforce.Route{
		ask(http.MethodPost, pathEvaluation, a.evaluation, evaluationShape()),
		ask(http.MethodPost, pathEvaluations, a.evaluations, evaluationsShape()),
		ask(http.MethodPost, pathSearchSubject, a.searchSubject, searchSubjectShape()),
		ask(http.MethodPost, pathSearchResource, a.searchResource, searchResourceShape()),
		ask(http.MethodPost, pathSearchAction, a.searchAction, searchActionShape()),
	}
}

// Routes are the rows whose errors are problem documents.
func (a *API) Routes() []enforce.Route {
	return []enforce.Route{
		ask(http.MethodPost, "/v1/permissions", a.permissions, permissionsShape()),
		ask(http.MethodPost, "/v1/data/{root}/{folder}/{name}", a.data, dataShape()),
		ask(http.MethodPost, "/v1/batch/data/{root}/{folder}/{name}", a.batch, batchShape()),
		ask(http.MethodPost, "/v1/compile/{root}/{folder}/{name}", a.compile, compileShape()),
	}
}

// OpenRoutes take no decision.
func (a *API) OpenRoutes() []enforce.OpenRoute {
	return []enforce.OpenRoute{
		{Method: http.MethodGet, Path: "/.well-known/authzen-configuration", Handler: a.serveConfiguration, Shape: configurationShape()},
	}
}

func ask(
	method, path string, resolve func(context.Context, *enforce.Request) (enforce.Resolved, error), shape *enforce.Shape,
) enforce.Route {
	return enforce.Route{
		Method: method, Path: path, Entrypoint: policies.EntryAdmin, Type: askType, Action: askAction,
		Body: enforce.JSONBody, Resolve: resolve, Shape: shape,
	}
}
