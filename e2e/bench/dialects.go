//go:build linux

package main

// dialectScenarios are what a dialect costs: the same application gets its token, and is asked about, through the dialect of Lerian and
// natively. A login is one call in each, and so is a decision.
func dialectScenarios() []scenario {
	return []scenario{
		{name: "native-token", what: "client_credentials, JWT ES256, the secret in the form", load: func(w *world) load {
			return w.of([][]byte{w.form("/oauth2/token", "", form(
				"grant_type", "client_credentials", "client_id", w.spoken.id, "client_secret", w.spoken.secret,
			))}, `"access_token":"ey`)
		}},
		{name: "dialect-token", what: "the same through the dialect of Lerian", load: func(w *world) load {
			body := object{"grantType": "client_credentials", "clientId": w.spoken.id, "clientSecret": w.spoken.secret}
			return w.of([][]byte{post(w.public, "/lerian/v1/login/oauth/access_token", "", "application/json", text(body))}, `"accessToken":"ey`)
		}},
		{name: "native-decision", what: "AuthZEN evaluation about an application, permit", load: func(w *world) load {
			body := object{
				"subject": object{"type": "application", "id": w.spoken.id}, "action": object{"name": "get"},
				"resource": object{"type": "accounts", "id": "*"},
			}
			return w.of([][]byte{post(w.public, "/access/v1/evaluation", w.asking, "application/json", text(body))}, `{"decision":true`)
		}},
		{name: "dialect-decision", what: "the same through the dialect of Lerian", load: func(w *world) load {
			body := object{"sub": w.spoken.id, "resource": "accounts", "action": "get"}
			return w.of([][]byte{post(w.public, "/lerian/v1/authorize", w.asking, "application/json", text(body))}, `"authorized":true`)
		}},
	}
}
