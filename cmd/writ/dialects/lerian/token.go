package lerian

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/writ-authz/writ/cmd/writ/dialects"
)

const tokenPath = "/oauth2/token"

// tokenReply is what both token routes answer.
type tokenReply struct {
	AccessToken  string `json:"accessToken"`
	IDToken      string `json:"idToken,omitempty"`
	TokenType    string `json:"tokenType"`
	ExpiresIn    int64  `json:"expiresIn"`
	RefreshToken string `json:"refreshToken,omitempty"`
	Scope        string `json:"scope"`
}

// accessToken is POST /v1/login/oauth/access_token.
func accessToken(c *dialects.Call) (dialects.Reply, error) {
	form, err := c.TokenForm(map[string]dialects.Member{
		"grantType": {Name: "grant_type"}, "username": {Name: "username"}, "password": {Name: "password"},
		"clientId": {Name: "client_id"}, "clientSecret": {Name: "client_secret"},
	})
	if err != nil {
		return dialects.Reply{}, err
	}
	person, machine := pair(form, "username", "password"), pair(form, "client_id", "client_secret")
	switch form.Get("grant_type") {
	case "":
		return dialects.Reply{}, worded(http.StatusBadRequest, "AUT-0001")
	case "password":
		if person != whole || machine != none {
			return dialects.Reply{}, worded(http.StatusBadRequest, "AUT-0014")
		}
		form.Set("client_id", application)
		return issue(c, form, worded(http.StatusUnauthorized, "AUT-1002"))
	case "client_credentials":
		if machine != whole || person != none {
			return dialects.Reply{}, worded(http.StatusBadRequest, "AUT-0014")
		}
		return issue(c, form, worded(http.StatusUnauthorized, "AUT-1004"))
	default:
		return dialects.Reply{}, worded(http.StatusBadRequest, "AUT-0013")
	}
}

// A pair of fields is there whole, or not at all, or in part.
const (
	none = iota
	part
	whole
)

func pair(form url.Values, one, other string) int {
	switch {
	case form.Get(one) != "" && form.Get(other) != "":
		return whole
	case form.Has(one) || form.Has(other):
		return part
	}
	return none
}

// refreshToken is POST /v1/login/oauth/refresh_token. Sessions of people are those of the dialect's own application.
func refreshToken(c *dialects.Call) (dialects.Reply, error) {
	form, err := c.TokenForm(map[string]dialects.Member{"refreshToken": {Name: "refresh_token"}, "scope": {Name: "scope"}})
	if err != nil {
		return dialects.Reply{}, err
	}
	if form.Get("refresh_token") == "" {
		return dialects.Reply{}, worded(http.StatusBadRequest, "AUT-0001")
	}
	form.Set("grant_type", "refresh_token")
	form.Set("client_id", application)
	return issue(c, form, worded(http.StatusBadRequest, "AUT-1005"))
}

// issue asks the native endpoint. Credentials are in the body alone; what is wrong with them is bad.
func issue(c *dialects.Call, form url.Values, bad *wording) (dialects.Reply, error) {
	c.Header.Del("Authorization")
	answer, err := c.Form(tokenPath, form)
	var refusal *dialects.Refusal
	if errors.As(err, &refusal) {
		switch {
		case refusal.Has("invalid_grant", "invalid_client"):
			return dialects.Reply{}, bad
		case refusal.Has("unauthorized_client"):
			return dialects.Reply{}, worded(http.StatusBadRequest, "AUT-1001")
		case refusal.Status == http.StatusTooManyRequests:
			return dialects.Reply{}, worded(refusal.Status, bad.code)
		}
	}
	if err != nil {
		return dialects.Reply{}, err
	}
	var native struct {
		AccessToken  string `json:"access_token"`
		TokenType    string `json:"token_type"`
		ExpiresIn    int64  `json:"expires_in"`
		Scope        string `json:"scope"`
		RefreshToken string `json:"refresh_token"`
	}
	if err := json.Unmarshal(answer.Body, &native); err != nil { // as answer.Decode, for less: it has no number of unknown size
		return dialects.Reply{}, fmt.Errorf("read the native reply: %w", err)
	}
	given := tokenReply{
		AccessToken: native.AccessToken, TokenType: native.TokenType, ExpiresIn: native.ExpiresIn, Scope: native.Scope,
		RefreshToken: native.RefreshToken,
	}
	if form.Get("grant_type") != "client_credentials" {
		given.IDToken = native.AccessToken
	}
	return dialects.Reply{Status: http.StatusOK, Body: given}, nil
}

// verifyMFA is POST /v1/login/mfa/verify: a second factor is not offered, and no login asks for one.
func verifyMFA(c *dialects.Call) (dialects.Reply, error) {
	var in struct {
		MFAToken       string  `json:"mfaToken"`
		Passcode       *string `json:"passcode"`
		RecoveryCode   *string `json:"recoveryCode"`
		MFAType        *string `json:"mfaType"`
		RememberDevice *bool   `json:"rememberDevice"`
	}
	if err := c.Decode(&in); err != nil {
		return dialects.Reply{}, err
	}
	return dialects.Reply{}, worded(http.StatusBadRequest, "AUT-1001")
}

// logout is POST /v1/logout: it ends the session of the token that is the hint, and never does nothing.
func logout(c *dialects.Call) (dialects.Reply, error) {
	form, err := url.ParseQuery(string(c.Body))
	if err != nil || len(form["id_token_hint"]) != 1 || form.Get("id_token_hint") == "" {
		return dialects.Reply{}, worded(http.StatusBadRequest, "AUT-0001")
	}
	if _, err := c.Form("/oauth2/sessions/end", url.Values{"token": form["id_token_hint"]}); err != nil {
		return dialects.Reply{}, err
	}
	return dialects.Reply{Status: http.StatusNoContent}, nil
}

// health is GET /health, which the vendor's client asks before anything else.
func health(*dialects.Call) (dialects.Reply, error) {
	return dialects.Reply{
		Status: http.StatusOK, Header: http.Header{"Content-Type": {"text/plain; charset=utf-8"}}, Body: []byte("healthy"),
	}, nil
}
