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

// Config is what the decision API stands on.
type Config struct {
	// BaseURL is the public listener's URL as clients know it, without a slash at the end; metadata is built from it alone.
	BaseURL string
	PDP     enforce.Decider
	Log     *policies.Log
	// Documents are answered by the same policies as PDP.
	Documents Documents
	Directory enforce.Directory
	Tokens    Tokens
	Logger    *slog.Logger
}

// API answers questions.
type API struct{ Config }

// New returns the decision API, or an error if a part is missing.
func New(c Config) (*API, error) {
	if c.BaseURL == "" || c.PDP == nil || c.Log == nil || c.Documents == nil || c.Directory == nil || c.Tokens == nil || c.Logger == nil {
		return nil, errors.New("decision API: a base URL, a PDP, its documents and log, a directory, tokens and a logger are needed")
	}
	return &API{Config: c}, nil
}

// The rows ask whether the caller may ask; what was asked is decided in respond.
const (
	askType   = "decisions"
	askAction = "ask"
)

// AuthZENRoutes are the rows whose errors are AuthZEN's.
func (a *API) AuthZENRoutes() []enforce.Route {
	return []enforce.Route{
		ask(http.MethodPost, "/access/v1/evaluation", a.evaluation, evaluationShape()),
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
