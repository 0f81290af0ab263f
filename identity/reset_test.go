package identity_test

import (
	"strings"
	"testing"
)

// What an administrator chooses is a temporary password like one that the server makes, held to the same rules, and is not said again.
func TestATemporaryPasswordThatAnAdministratorChose(t *testing.T) {
	w := newWorld(t)
	id := w.user("ada", "")
	path := "/v1/users/" + id + "/password/reset"
	for body, pointer := range map[string]string{
		`{"password":"short"}`: "/password", `{"password":"password1234"}`: "/password", `{"password":1}`: "/password", `{"passwords":"x"}`: "/passwords",
		`{"password":"copper-sparrow-lantern-7"} x`: "",
	} {
		w.root().post(path, body).bad(pointer)
	}
	reply := w.root().post(path, `{"password":"copper-sparrow-lantern-7"}`).is(200)
	if strings.Contains(reply.body, "copper") || strings.Contains(reply.body, "temporary_password") || !strings.Contains(reply.body, "expires_at") {
		t.Errorf("the reply is %s", reply.body)
	}
	if user := w.root().get("/v1/users/" + id).is(200).body; !strings.Contains(user, `"temporary":true`) {
		t.Errorf("the password is not temporary: %s", user)
	}
	if reply := w.root().post(path, "").is(200); !strings.Contains(reply.body, "temporary_password") {
		t.Errorf("the reply without a body is %s", reply.body)
	}
	// Whether a password is good is told to those alone who may set it.
	w.as("user:"+id).post(path, `{"password":"short"}`).want(403, "")
}
