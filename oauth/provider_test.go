package oauth_test

import (
	"reflect"
	"slices"
	"testing"

	"github.com/writ-authz/writ/oauth"
)

// F-27: fosite fills what is left empty on the first request, without a lock. So nothing is left empty but what is meant
// to be false.
func TestF27EveryFositeFieldIsSet(t *testing.T) {
	w := newWorld(t)
	config := reflect.ValueOf(oauth.FositeConfig(w.server)).Elem()
	off := []string{
		"SendDebugMessagesToClients", "EnablePKCEPlainChallengeMethod", "UseLegacyErrorFormat", "GrantTypeJWTBearerCanSkipClientAuth",
		"GrantTypeJWTBearerIDOptional", "GrantTypeJWTBearerIssuedDateOptional", "IsPushedAuthorizeEnforced",
	}
	for i := range config.NumField() {
		name := config.Type().Field(i).Name
		if config.Field(i).IsZero() != slices.Contains(off, name) {
			t.Errorf("%s is %v", name, config.Field(i))
		}
	}
	if secret := oauth.FositeConfig(w.server).GlobalSecret; len(secret) != 32 {
		t.Errorf("F-29: the global secret has %d bytes", len(secret))
	}
}
