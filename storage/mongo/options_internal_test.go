package mongo

import (
	"errors"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
)

// TestTheConnectionStringCannotWeakenTheContract gives every option by which an operator could lose acknowledged writes.
func TestTheConnectionStringCannotWeakenTheContract(t *testing.T) {
	o := clientOptions("mongodb://h/db?w=1&journal=false&readConcernLevel=local&readPreference=secondary&retryWrites=false&" +
		"serverSelectionTimeoutMS=7000")
	if err := o.Validate(); err != nil {
		t.Fatal(err)
	}
	if o.WriteConcern.W != "majority" || o.WriteConcern.Journal == nil || !*o.WriteConcern.Journal {
		t.Errorf("write concern is %+v", o.WriteConcern)
	}
	if o.ReadConcern.Level != "majority" || o.ReadPreference.Mode() != readpref.PrimaryMode || !*o.RetryWrites {
		t.Errorf("reads are %q from %v, retried writes %v", o.ReadConcern.Level, o.ReadPreference, *o.RetryWrites)
	}
	if o.ServerAPIOptions == nil || o.ServerAPIOptions.Strict == nil || !*o.ServerAPIOptions.Strict {
		t.Error("commands outside of the Stable API would not be refused")
	}
	if o.ServerSelectionTimeout.String() != "7s" || o.Timeout.String() != callTimeout.String() {
		t.Errorf("timeouts are %v and %v", o.ServerSelectionTimeout, o.Timeout)
	}
}

func TestSL01UnparsedLeavesCredentialsOut(t *testing.T) {
	for _, c := range []struct{ uri, secret string }{
		{"mongodb://user:pa%2Fss@host/db", "pa/ss"},
		{"mongodb://user:pa%2Fss@host/db", "pa%2Fss"},
		{"mongodb://user:p@ss@host/db", "p@ss"},
		{"mongodb://user:p/ss@host/db", "p/ss"},
		{"user:secret@host", "secret"},
	} {
		got := unparsed(c.uri, errors.New("no good: "+c.uri+" "+c.secret))
		if strings.Contains(got, c.secret) {
			t.Errorf("%q holds %q", got, c.secret)
		}
	}
}

func TestBehind(t *testing.T) {
	for prefix, want := range map[string]string{
		"": "", "a": "b", "ops:": "ops;", "ä": "å", "\x7f": "\u0080", "\ud7ff": "\ue000", "a\U0010ffff": "b", "\U0010ffff": "", "a\xff": "",
	} {
		if got := behind(prefix); got != want {
			t.Errorf("behind %q is %q, want %q", prefix, got, want)
		}
		if got := behind(prefix); got != "" && got <= prefix {
			t.Errorf("behind %q is %q, which is not greater", prefix, got)
		}
	}
}
