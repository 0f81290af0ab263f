package rustici

import (
	"net/http"
	"net/url"

	"github.com/writ-authz/writ/cmd/writ/dialects"
)

// login is the token endpoint, for a form that may name no client.
func login(c *dialects.Call) (dialects.Reply, error) {
	form, err := url.ParseQuery(string(c.Body))
	if err != nil {
		return dialects.Reply{}, &dialects.Fault{Kind: dialects.Malformed, Detail: "the body is not a form"}
	}
	if form.Get("grant_type") != "client_credentials" && !namesClient(c, form) {
		form.Set("client_id", application)
	}
	answer, err := c.Form("/oauth2/token", form)
	if err != nil {
		return dialects.Reply{}, err
	}
	return dialects.Reply{Status: http.StatusOK, Body: answer.Body}, nil
}

// namesClient says whether the request has anything by which a client authenticates. What is there without a value is not there.
func namesClient(c *dialects.Call, form url.Values) bool {
	for _, name := range []string{"client_id", "client_secret", "client_assertion", "client_assertion_type"} {
		for _, value := range form[name] {
			if value != "" {
				return true
			}
		}
	}
	return c.Header.Get("Authorization") != ""
}
