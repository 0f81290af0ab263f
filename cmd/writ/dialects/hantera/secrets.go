package hantera

import (
	"net/http"

	"github.com/writ-authz/writ/cmd/writ/dialects"
)

// secret renders a secret. Its value is in the reply that made it, and in no other.
func secret(native object, _ string) object {
	shown := object{}
	copied(native, shown, "id", "id", "value", "value", "label", "label", "created_at", "createdAt", "not_before", "notBefore",
		"expires_at", "expiresAt", "last_used_at", "lastUsedAt", "revoked_at", "revokedAt")
	return shown
}

func secrets(c *dialects.Call) string {
	return "/v1/applications" + dialects.Path(c.Params["id"]) + "/secrets"
}

func postSecret(c *dialects.Call) (dialects.Reply, error) {
	b, err := read(c, nil, []string{"label", "notBefore", "expiresAt"})
	if err != nil {
		return dialects.Reply{}, err
	}
	b.take("label", "label", "notBefore", "not_before", "expiresAt", "expires_at")
	answer, err := c.JSON(http.MethodPost, secrets(c), nil, b.native)
	return rendered(answer, err, secret)
}

func listSecrets(c *dialects.Call) (dialects.Reply, error) {
	var page nativePage
	if _, err := c.Get(secrets(c), nil, &page); err != nil {
		return dialects.Reply{}, err
	}
	return dialects.Reply{Status: http.StatusOK, Body: object{"secrets": page.shown(secret)}}, nil
}

func deleteSecret(c *dialects.Call) (dialects.Reply, error) {
	answer, err := c.JSON(http.MethodDelete, secrets(c)+dialects.Path(c.Params["secret"]), nil, nil)
	if err != nil {
		return dialects.Reply{}, err
	}
	return dialects.Reply{Status: answer.Status}, nil
}
