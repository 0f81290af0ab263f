package e2e

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestPI04ASeededStoreIsServed fills an empty store and serves it: root is made beside what is there, and a role reaches all who have it.
func TestPI04ASeededStoreIsServed(t *testing.T) {
	binaryOnly(t)
	var o Options
	env := map[string]string{"WRIT_DATA_DIR": filepath.Join(t.TempDir(), "data")}
	if suite.db != nil {
		o.Among = newCluster(suite.db)
		env = map[string]string{"WRIT_MONGODB_URI": o.Among.db.local(o.Among.name)}
	} else {
		o.Env = env
	}
	seed := func(code int) Output {
		t.Helper()
		out := suite.runner.Command(t.Context(), Options{Env: env}, "seed", "--profile", "demo", "--output", "json")
		if out.Code != code {
			t.Fatalf("exit code %d, want %d: %s", out.Code, code, out.Stderr)
		}
		return out
	}
	if out := seed(0); !strings.Contains(out.Stdout, `"users": 200`) || !strings.Contains(out.Stderr, `"event":"done","phase":"users","done":200`) {
		t.Fatalf("stdout %q, stderr %q", out.Stdout, out.Stderr)
	}
	if out := seed(1); !strings.Contains(out.Stderr, "the store is not empty") {
		t.Fatalf("stderr %q", out.Stderr)
	}
	c := story(t, fresh(t, o)).root()
	if holders := c.get("/v1/users?limit=100&role=seed:common").items("username"); len(holders) != 20 {
		t.Fatalf("%d users have the common role, want 20", len(holders))
	}
	for path, name := range map[string]string{
		"/v1/users?name_prefix=user%2019": "User 19", "/v1/groups?name_prefix=GROUP%207": "Group 7",
		"/v1/applications?name_prefix=application%2012": "Application 12", "/v1/applications?name_prefix=roo": "root",
	} {
		c.get(path).wantStatus(200)
		if found := c.items("name"); !slices.Contains(found, name) {
			c.fail("%s finds %q, and not %q", path, found, name)
		}
		c.expect(path)
	}
}
