package clients

import (
	"crypto/rand"
	"net/http"
	"testing"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// TestOAuth2AtTheLoginOfRustici: the library signs a credential in by both grants at the dialect's endpoint, as at that of Rustici Generator.
func TestOAuth2AtTheLoginOfRustici(t *testing.T) {
	const api = "/rustici/api/v1"
	id, password := "cred-"+rand.Text(), "a password of words, "+rand.Text()
	call(t, http.MethodPost, server.admin+api+"/credentials", root(t), object{
		"id": id, "password": password, "scopes": list{object{"verb": "READ", "subject": "JOBS"}},
	}, http.StatusCreated, nil)
	endpoint := oauth2.Endpoint{TokenURL: server.public + api + "/login/access_token"}
	config := clientcredentials.Config{ClientID: id, ClientSecret: password, TokenURL: endpoint.TokenURL}
	people := oauth2.Config{Endpoint: endpoint}
	for name, ask := range map[string]func(password string) (*oauth2.Token, error){
		"client_credentials": func(password string) (*oauth2.Token, error) {
			c := config
			c.ClientSecret = password
			return c.Token(t.Context())
		},
		"password": func(password string) (*oauth2.Token, error) {
			return people.PasswordCredentialsToken(t.Context(), id, password)
		},
	} {
		token, err := ask(password)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if token.TokenType != "Bearer" || token.RefreshToken != "" || token.Extra("scope") != "jobs:read" {
			t.Errorf("%s: type %q, refresh token %q, scope %v", name, token.TokenType, token.RefreshToken, token.Extra("scope"))
		}
		var me struct{ ID string }
		call(t, http.MethodGet, server.public+api+"/credentials/me", "Bearer "+token.AccessToken, nil, http.StatusOK, &me)
		if me.ID != id {
			t.Errorf("%s: the token is %s's, want %s", name, me.ID, id)
		}
	}
	wantRefusal(t, second(people.PasswordCredentialsToken(t.Context(), id, "wrong "+password)), http.StatusBadRequest, "invalid_grant")
	config.ClientSecret = "wrong " + password
	wantRefusal(t, second(config.Token(t.Context())), http.StatusUnauthorized, "invalid_client")
}
