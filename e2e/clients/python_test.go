package clients

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// python is the interpreter whose packages the distribution brings; another one on the path does not see them.
const python = "/usr/bin/python3"

// runPython runs a script of testdata with what a client is given, and demands the steps that it must report. The libraries
// refuse plain HTTP unless the environment says that it may be; the server of these tests is on loopback.
func runPython(t *testing.T, script, module string, packages []string, steps ...string) {
	t.Helper()
	// -I: neither the environment nor the user's own packages have a say.
	version, err := exec.Command(python, "-I", "-c", "import "+module+" as m; print(m.__version__)").Output()
	if err != nil {
		lacks(t, packages)
	}
	t.Logf("%s %s", module, bytes.TrimSpace(version))
	machine, login := newApplication(t, object{"audiences": list{
		audience, server.public + "/runtime", server.public + "/management",
	}}), newApplication(t, object{"grant_types": list{"password", "refresh_token"}})
	outsiders := object{}
	for _, alg := range []string{"ES256", "RS256", "EdDSA"} {
		outsiders[alg], _, _ = outside(t, signed(alg))
	}
	input, err := json.Marshal(object{
		"issuer": server.public, "audience": audience, "outsiders": outsiders,
		"machine": named(machine), "login": named(login), "person": named(newPerson(t)),
	})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python, "-I", filepath.Join("testdata", script))
	cmd.Env = append(os.Environ(), "AUTHLIB_INSECURE_TRANSPORT=1", "OAUTHLIB_INSECURE_TRANSPORT=1")
	cmd.Stdin = bytes.NewReader(input)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	printed, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v after %q\n%s", script, err, printed, &complaint)
	}
	if got := strings.Fields(string(printed)); strings.Join(got, " ") != strings.Join(steps, " ") {
		t.Errorf("%s did %q, want %q", script, got, steps)
	}
}

// named gives a value the names that its fields have on the wire.
func named(v any) object {
	switch v := v.(type) {
	case application:
		return object{"id": v.ID, "secret": v.Secret}
	case person:
		return object{"id": v.ID, "username": v.Username, "password": v.Password}
	}
	return nil
}

func TestAuthlib(t *testing.T) {
	runPython(t, "authlib_client.py", "authlib", listed(t, "python3-authlib", "python3-requests"),
		"metadata", "client_credentials", "refusals", "jwt", "password", "refresh", "introspection", "revocation",
		"revocation_of_the_login")
}

func TestRequestsOAuthlib(t *testing.T) {
	runPython(t, "requests_oauthlib_client.py", "requests_oauthlib", listed(t, "python3-requests-oauthlib"),
		"client_credentials", "body", "refusals", "password", "refresh", "introspection", "revocation",
		"revocation_of_the_login")
}
