package oauth

import (
	"net/http"
	"reflect"

	"github.com/writ-authz/writ/policies/enforce"
)

// errorShape is RFC 6749's error, section 5.2. A body of the wrong type is 400 like any other bad request.
func errorShape() enforce.ErrorShape {
	return enforce.ErrorShape{
		Type: reflect.TypeFor[errorBody](), Statuses: []int{
			http.StatusBadRequest, http.StatusUnauthorized, http.StatusTooManyRequests, http.StatusInternalServerError,
			http.StatusServiceUnavailable,
		},
	}
}

// credentialForm are the parameters by which a client authenticates in the form.
func credentialForm() []enforce.Parameter {
	return []enforce.Parameter{
		{Name: "client_id", Description: "The id of the client, where it is not in the Authorization header."},
		{Name: "client_secret", Description: "The secret of the client, where it is not in the Authorization header."},
		{Name: "client_assertion_type", Description: "For private_key_jwt (RFC 7523).", Values: []string{assertionType}},
		{Name: "client_assertion", Description: "The signed assertion of private_key_jwt."},
	}
}

func tokenShape() *enforce.Shape {
	return &enforce.Shape{
		Summary: "Get an access token (RFC 6749)",
		Form: append([]enforce.Parameter{
			{
				Name: "grant_type", Required: true, Description: "How the token is got.",
				Values: []string{grantPassword, grantClientCredentials, grantRefreshToken},
			},
			{Name: "scope", Description: "The permissions that are asked for, with spaces between; all if there is none."},
			{Name: "audience", Description: "For whom the token is.", Repeated: true},
			{Name: "tenant", Description: "The tenant in which the token is good."},
			{Name: "timestamp_nonce", Description: "The time of the request in Unix seconds; each is taken once."},
			{Name: "username", Description: "Of the grant type password: a username or an id."},
			{Name: "password", Description: "Of the grant type password."},
			{Name: "refresh_token", Description: "Of the grant type refresh_token."},
			{Name: "timestamp_nonce", Description: "Unix seconds, good once and for a short while, where that is demanded."},
		}, credentialForm()...),
		Replies: []enforce.ReplyShape{enforce.OK[tokenReply]()},
	}
}

func presentedForm() []enforce.Parameter {
	return append([]enforce.Parameter{
		{Name: "token", Required: true, Description: "The token that is meant."},
		{Name: "token_type_hint", Description: "access_token or refresh_token; it is not needed."},
	}, credentialForm()...)
}

func introspectShape() *enforce.Shape {
	return &enforce.Shape{
		Summary: "What a token is (RFC 7662, RFC 9701)", Form: presentedForm(),
		Replies: []enforce.ReplyShape{
			{Status: http.StatusOK, Types: []reflect.Type{reflect.TypeFor[introspection](), reflect.TypeFor[inactive]()}},
			{Status: http.StatusOK, Media: mediaIntrospection},
		},
	}
}

func revokeShape() *enforce.Shape {
	return &enforce.Shape{
		Summary: "Revoke a token (RFC 7009)", Form: presentedForm(), Replies: []enforce.ReplyShape{{Status: http.StatusOK}},
	}
}

func sessionsEndShape() *enforce.Shape {
	return &enforce.Shape{
		Summary: "End the session of a token", Errors: []int{http.StatusForbidden},
		Form:    []enforce.Parameter{{Name: "token", Description: "A token of the session, where none is sent as bearer."}},
		Replies: []enforce.ReplyShape{enforce.NoContent()},
	}
}

// publicKeySet is RFC 7517's document.
type publicKeySet struct {
	Keys []any `json:"keys"`
}

func jwksShape() *enforce.Shape {
	return &enforce.Shape{
		Summary: "The public keys of the server (RFC 7517)", Errors: []int{http.StatusNotModified},
		Replies: []enforce.ReplyShape{{Status: http.StatusOK, Types: []reflect.Type{reflect.TypeFor[publicKeySet]()}, Media: "application/jwk-set+json"}},
	}
}

func metadataShape() *enforce.Shape {
	return &enforce.Shape{
		Summary: "What the authorization server can do (RFC 8414)", Errors: []int{http.StatusNotModified},
		Replies: []enforce.ReplyShape{enforce.OK[metadata]()},
	}
}
