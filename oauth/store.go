package oauth

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"time"

	"github.com/ory/fosite"
	fositeoauth2 "github.com/ory/fosite/handler/oauth2"

	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

// fositeStore is the border to fosite's storage interfaces: storage sentinels in, fosite errors out. Access tokens have
// no rows, so most of it is nothing at all; fosite itself finds a missing capability only when it panics, hence the
// assertions.
type fositeStore struct{ server *Server }

var (
	_ fosite.Storage                                            = fositeStore{}
	_ fositeoauth2.AccessTokenStorage                           = fositeStore{}
	_ fositeoauth2.RefreshTokenStorage                          = fositeStore{}
	_ fositeoauth2.ResourceOwnerPasswordCredentialsGrantStorage = fositeStore{}
)

// errNoAssertions refuses what only fosite's own client authentication, which is replaced, would ask for (F-09).
var errNoAssertions = errors.New("client assertions are not taken")

// GetClient is for fosite's own client authentication, which is replaced.
func (f fositeStore) GetClient(context.Context, string) (fosite.Client, error) {
	return nil, fosite.ErrNotFound
}

func (f fositeStore) ClientAssertionJWTValid(context.Context, string) error { return errNoAssertions }

func (f fositeStore) SetClientAssertionJWT(context.Context, string, time.Time) error {
	return errNoAssertions
}

// Authenticate checks a password. Everything that is wrong with it is fosite.ErrNotFound, which becomes invalid_grant;
// any other error is an outage and must stay one (F-04 in its other form).
func (f fositeStore) Authenticate(ctx context.Context, username, password string) (string, error) {
	request, ok := ctx.Value(fosite.AccessRequestContextKey).(fosite.AccessRequester)
	if !ok {
		return "", errors.New("fosite gave no access request")
	}
	enforce.EventFrom(ctx).Client = request.GetClient().GetID() // who asks, also where nothing comes of it
	var peer netip.Addr
	if r, ok := ctx.Value(fosite.RequestContextKey).(*http.Request); ok {
		peer = remote(r)
	}
	machine, err := f.server.machine(ctx, peer, username, password)
	if err != nil {
		return "", err
	}
	if machine != nil {
		request.GetSession().(*session).machine = machine
		return machine.app.ID, nil
	}
	id, epoch, err := f.server.passwords.Check(ctx, peer, username, password)
	if errors.Is(err, storage.ErrNotFound) {
		return "", fosite.ErrNotFound
	}
	if err != nil {
		return "", err
	}
	// fosite hands on the id alone; the session is reached by way of the request that it keeps in the context.
	request.GetSession().(*session).epoch = epoch
	return id, nil
}

func (f fositeStore) CreateAccessTokenSession(context.Context, string, fosite.Requester) error {
	return nil
}

func (f fositeStore) GetAccessTokenSession(context.Context, string, fosite.Session) (fosite.Requester, error) {
	return nil, fosite.ErrNotFound
}
func (f fositeStore) DeleteAccessTokenSession(context.Context, string) error { return nil }

// The password handler calls this after GenerateRefreshToken, which makes none.
func (f fositeStore) CreateRefreshTokenSession(context.Context, string, string, fosite.Requester) error {
	return nil
}

func (f fositeStore) GetRefreshTokenSession(context.Context, string, fosite.Session) (fosite.Requester, error) {
	return nil, fosite.ErrNotFound
}
func (f fositeStore) DeleteRefreshTokenSession(context.Context, string) error  { return nil }
func (f fositeStore) RotateRefreshToken(context.Context, string, string) error { return nil }
