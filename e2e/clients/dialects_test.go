package clients

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// TestOAuth2AtTheTokenEndpointOfPolicyServer gets a token under either name, by either way of sending the secret, and uses it at the
// management API.
func TestOAuth2AtTheTokenEndpointOfPolicyServer(t *testing.T) {
	app := newApplication(t, object{"grants": list{grant("policies/data", "read")}})
	for _, path := range []string{"/connect/token", "/token"} {
		for name, style := range map[string]oauth2.AuthStyle{
			"by itself": oauth2.AuthStyleAutoDetect, "header": oauth2.AuthStyleInHeader, "body": oauth2.AuthStyleInParams,
		} {
			ctx, requests := counted(t)
			config := clientcredentials.Config{
				ClientID: app.ID, ClientSecret: app.Secret, TokenURL: server.public + "/policyserver" + path, AuthStyle: style,
			}
			token, err := config.Token(ctx)
			if err != nil {
				t.Errorf("%s, %s: %v", path, name, err)
				continue
			}
			if left := time.Until(token.Expiry); token.TokenType != "Bearer" || left <= 0 || left > time.Hour {
				t.Errorf("%s, %s: type %q, expires in %s", path, name, token.TokenType, left)
			}
			if want := map[bool]string{true: "body", false: "basic"}[name == "body"]; requests.seen() != want {
				t.Errorf("%s, %s: sent as %s", path, name, requests.seen())
			}
			reply, err := config.Client(ctx).Get(server.admin + "/policyserver/management/policies")
			if err != nil {
				t.Errorf("%s, %s: %v", path, name, err)
				continue
			}
			_ = reply.Body.Close()
			if reply.StatusCode != http.StatusOK {
				t.Errorf("%s, %s: status %d", path, name, reply.StatusCode)
			}
		}
	}
	// Bad: the library reads the error as OAuth 2.0 has it.
	wrong := clientcredentials.Config{ClientID: app.ID, ClientSecret: "wrong", TokenURL: server.public + "/policyserver/connect/token", AuthStyle: oauth2.AuthStyleInParams}
	_, err := wrong.Token(t.Context())
	var said *oauth2.RetrieveError
	if !errors.As(err, &said) || said.ErrorCode != "invalid_client" || said.Response.StatusCode != http.StatusUnauthorized {
		t.Errorf("a wrong secret: %v", err)
	}
}
