package clients

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// counted gives a context in which golang.org/x/oauth2 uses a client that counts, and remembers how credentials were sent.
func counted(t *testing.T) (context.Context, *counter) {
	c := &counter{}
	return context.WithValue(t.Context(), oauth2.HTTPClient, &http.Client{Transport: c}), c
}

type counter struct {
	mu  sync.Mutex
	how []string
}

func (c *counter) RoundTrip(r *http.Request) (*http.Response, error) {
	how := "body"
	if _, _, basic := r.BasicAuth(); basic {
		how = "basic"
	}
	c.mu.Lock()
	c.how = append(c.how, how)
	c.mu.Unlock()
	return http.DefaultTransport.RoundTrip(r)
}

func (c *counter) seen() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.how, " ")
}

func TestOAuth2ClientCredentials(t *testing.T) {
	app := newApplication(t, nil)
	ctx, requests := counted(t)
	config := clientcredentials.Config{
		ClientID: app.ID, ClientSecret: app.Secret, TokenURL: discovered(t).Token, Scopes: []string{"ledger:read"},
	}
	token, err := config.Token(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if token.TokenType != "Bearer" || token.RefreshToken != "" || token.Extra("scope") != "ledger:read" {
		t.Errorf("type %q, refresh token %q, scope %v", token.TokenType, token.RefreshToken, token.Extra("scope"))
	}
	if left := time.Until(token.Expiry); left <= 0 || left > time.Hour {
		t.Errorf("the token expires in %s", left)
	}
	if requests.seen() != "basic" {
		t.Errorf("the first way of sending the secret was not enough: %s", requests.seen())
	}
	// The library's own client carries the token to a resource server: Writ's API.
	reply, err := config.Client(ctx).Get(server.public + "/v1/me")
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	if reply.StatusCode != http.StatusOK {
		t.Errorf("/v1/me: status %d", reply.StatusCode)
	}
}

// TestOAuth2FormEncodesASecretWithSpecialCharacters: the secret of root has those that Basic must encode (RFC 6749, 2.3.1).
func TestOAuth2FormEncodesASecretWithSpecialCharacters(t *testing.T) {
	for name, style := range map[string]oauth2.AuthStyle{"header": oauth2.AuthStyleInHeader, "body": oauth2.AuthStyleInParams} {
		config := clientcredentials.Config{
			ClientID: "root", ClientSecret: server.secret, TokenURL: discovered(t).Token, AuthStyle: style,
		}
		if _, err := config.Token(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestOAuth2FindsHowTheSecretTravels: unless told, the library tries Basic, and then the body whatever the error was.
func TestOAuth2FindsHowTheSecretTravels(t *testing.T) {
	for method, want := range map[string]string{"client_secret_basic": "basic", "client_secret_post": "basic body"} {
		app := newApplication(t, object{"token_endpoint_auth_method": method})
		ctx, requests := counted(t)
		config := clientcredentials.Config{ClientID: app.ID, ClientSecret: app.Secret, TokenURL: discovered(t).Token}
		if _, err := config.Token(ctx); err != nil {
			t.Errorf("%s: %v", method, err)
		}
		if requests.seen() != want {
			t.Errorf("%s: tried %s, want %s", method, requests.seen(), want)
		}
	}
}

// TestOAuth2UnderstandsARefusal: the library reads error from a 401 as well as from a 400, and its second try with the same
// wrong secret does not lock out the right one.
func TestOAuth2UnderstandsARefusal(t *testing.T) {
	app := newApplication(t, nil)
	ctx, requests := counted(t)
	config := clientcredentials.Config{ClientID: app.ID, ClientSecret: "wrong " + app.Secret, TokenURL: discovered(t).Token}
	wantRefusal(t, second(config.Token(ctx)), http.StatusUnauthorized, "invalid_client")
	if requests.seen() != "basic body" {
		t.Errorf("tried %s", requests.seen())
	}
	config.ClientSecret = app.Secret
	if _, err := config.Token(ctx); err != nil {
		t.Errorf("the right secret after a wrong one: %v", err)
	}
	config.Scopes = []string{"ledger:write"}
	wantRefusal(t, second(config.Token(ctx)), http.StatusBadRequest, "invalid_scope")
}

func TestOAuth2Password(t *testing.T) {
	app := newApplication(t, object{"grant_types": list{"password"}})
	ada := newPerson(t)
	ctx, _ := counted(t)
	config := oauth2.Config{
		ClientID: app.ID, ClientSecret: app.Secret, Scopes: []string{"ledger:read"},
		Endpoint: oauth2.Endpoint{TokenURL: discovered(t).Token},
	}
	token, err := config.PasswordCredentialsToken(ctx, ada.Username, ada.Password)
	if err != nil {
		t.Fatal(err)
	}
	var me struct{ ID string }
	call(t, http.MethodGet, server.public+"/v1/me", "Bearer "+token.AccessToken, nil, http.StatusOK, &me)
	if me.ID != ada.ID {
		t.Errorf("the token is %s's, want %s", me.ID, ada.ID)
	}
	wantRefusal(t, second(config.PasswordCredentialsToken(ctx, ada.Username, "wrong "+ada.Password)), http.StatusBadRequest,
		"invalid_grant")
}

// TestOAuth2Refreshes: a TokenSource that starts with an expired token comes back with another one, twice, so that the
// refresh token that came with the first one is good too.
func TestOAuth2Refreshes(t *testing.T) {
	m := discovered(t)
	needs(t, "grant type refresh_token", slices.Contains(m.GrantTypes, "refresh_token"))
	app := newApplication(t, object{"grant_types": list{"password", "refresh_token"}})
	ada := newPerson(t)
	config := oauth2.Config{ClientID: app.ID, ClientSecret: app.Secret, Endpoint: oauth2.Endpoint{TokenURL: m.Token}}
	token, err := config.PasswordCredentialsToken(t.Context(), ada.Username, ada.Password)
	if err != nil {
		t.Fatal(err)
	}
	if token.RefreshToken == "" {
		t.Fatal("no refresh token came with the login")
	}
	for range 2 {
		old := *token
		old.Expiry = time.Now().Add(-time.Minute)
		if token, err = config.TokenSource(t.Context(), &old).Token(); err != nil {
			t.Fatal(err)
		}
		if token.AccessToken == old.AccessToken {
			t.Fatal("the access token is the same")
		}
		call(t, http.MethodGet, server.public+"/v1/me", "Bearer "+token.AccessToken, nil, http.StatusOK, nil)
	}
}

// second drops what a call returned beside its error.
func second(_ *oauth2.Token, err error) error { return err }

func wantRefusal(t *testing.T, err error, status int, code string) {
	t.Helper()
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) {
		t.Errorf("want %s, got %v", code, err)
		return
	}
	if refused.ErrorCode != code || refused.Response.StatusCode != status {
		t.Errorf("%d %s, want %d %s", refused.Response.StatusCode, refused.ErrorCode, status, code)
	}
}
