package storagetest

import (
	"strings"
	"testing"
)

func TestNamedTakesTheStoreThatTheEnvironmentNames(t *testing.T) {
	for _, c := range []struct{ store, uri, said, err, first string }{
		{store: "", said: "x: store=sqlite\n"},
		{store: "sqlite", uri: "mongodb://a", said: "x: store=sqlite\n"},
		{store: "Mongo", err: "WRIT_TEST_STORE=Mongo is neither sqlite nor mongo"},
		{store: "mongo", uri: "mongodb://u:p@a:1,b:2", said: "x: store=mongo server=WRIT_TEST_MONGODB_URI", first: "mongodb://u:p@a:1,b:2/PREFIX1"},
		{store: "mongo", uri: "mongodb://a/other?replicaSet=r", said: "are left in it", first: "mongodb://a/PREFIX1?replicaSet=r"},
	} {
		t.Setenv(storeVariable, c.store)
		t.Setenv(serverVariable, c.uri)
		var said strings.Builder
		server, err := Named(t.Context(), "x", "", &said)
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != c.err {
			t.Errorf("%q: got error %q, want %q", c.store, got, c.err)
		}
		if !strings.Contains(said.String(), c.said) || strings.Contains(said.String(), "u:p") {
			t.Errorf("%q: said %q, want %q", c.store, said.String(), c.said)
		}
		if (server != nil) != (c.first != "") {
			t.Fatalf("%q: a server is %t", c.store, server != nil)
		}
		if server == nil {
			continue
		}
		first, second := server.Database(), server.Database()
		if want := strings.Replace(c.first, "PREFIX", server.prefix, 1); first != want {
			t.Errorf("got %s, want %s", first, want)
		}
		if second == first {
			t.Errorf("two tests share %s", first)
		}
		server.Close()
	}
}
