package clients

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// TestA01AssertionsOfOtherLibraries registers keys as lestrrat-go/jwx writes them, signs as golang-jwt does, and asks as
// golang.org/x/oauth2 does, by each algorithm that the metadata lists.
func TestA01AssertionsOfOtherLibraries(t *testing.T) {
	var metadata struct {
		Algorithms []string `json:"token_endpoint_auth_signing_alg_values_supported"`
	}
	call(t, http.MethodGet, server.public+"/.well-known/oauth-authorization-server", "", nil, http.StatusOK, &metadata)
	if len(metadata.Algorithms) != 4 {
		t.Fatalf("algorithms: %v", metadata.Algorithms)
	}
	for _, algorithm := range metadata.Algorithms {
		t.Run(algorithm, func(t *testing.T) {
			private, set := registrable(t, algorithm)
			var made struct{ ID string }
			call(t, http.MethodPost, server.admin+"/v1/applications", root(t), object{
				"name": "app " + rand.Text(), "token_endpoint_auth_method": "private_key_jwt", "jwks": set,
				"token_endpoint_auth_signing_alg": algorithm, "grants": list{grant("ledger", "read")},
			}, http.StatusCreated, &made)
			token := jwt.NewWithClaims(jwt.GetSigningMethod(algorithm), jwt.RegisteredClaims{
				Issuer: made.ID, Subject: made.ID, Audience: jwt.ClaimStrings{server.public}, ID: rand.Text(),
				IssuedAt: jwt.NewNumericDate(time.Now()), ExpiresAt: jwt.NewNumericDate(time.Now().Add(time.Minute)),
			})
			token.Header["kid"] = "current"
			assertion, err := token.SignedString(private)
			if err != nil {
				t.Fatal(err)
			}
			config := clientcredentials.Config{
				ClientID: made.ID, TokenURL: discovered(t).Token, AuthStyle: oauth2.AuthStyleInParams,
				EndpointParams: url.Values{
					"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {assertion},
				},
			}
			got, err := config.Token(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got.Extra("scope") != "ledger:read" {
				t.Errorf("scope %v", got.Extra("scope"))
			}
			var refused *oauth2.RetrieveError
			if _, err := config.Token(t.Context()); !errors.As(err, &refused) || refused.ErrorCode != "invalid_client" {
				t.Errorf("a replay: %v", err)
			}
		})
	}
}

// registrable is a private key of the algorithm and its public half as a JWK set.
func registrable(t *testing.T, algorithm string) (crypto.Signer, json.RawMessage) {
	t.Helper()
	var private crypto.Signer
	var err error
	switch algorithm {
	case "ES256":
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "EdDSA":
		_, private, err = ed25519.GenerateKey(rand.Reader)
	default:
		private, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	public, err := jwk.Import(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	set := jwk.NewSet()
	err = errors.Join(public.Set(jwk.KeyIDKey, "current"), public.Set(jwk.AlgorithmKey, algorithm), public.Set(jwk.KeyUsageKey, "sig"),
		set.AddKey(public))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return private, raw
}
