package lerian

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/writ-authz/writ/cmd/writ/dialects"
)

// maxTries bounds how often a change of one half of a name is made anew because the other half changed meanwhile.
const maxTries = 8

type nativeUser struct {
	ID       string   `json:"id"`
	Username string   `json:"username"`
	Name     string   `json:"name"`
	Email    string   `json:"email"`
	Groups   []string `json:"groups"`
	// Properties are the user's own: what this dialect keeps there may be anything, or gone.
	Properties        map[string]json.RawMessage `json:"properties"`
	CreatedAt         string                     `json:"created_at"`
	TemporaryPassword string                     `json:"temporary_password"`
}

type userView struct {
	ID        string   `json:"id"`
	Username  string   `json:"username"`
	FirstName string   `json:"firstName"`
	LastName  string   `json:"lastName"`
	Email     string   `json:"email"`
	Groups    []string `json:"groups"`
	CreatedAt string   `json:"createdAt"`
	// TemporaryPassword is in the one reply that made it, where the request named none.
	TemporaryPassword string `json:"temporaryPassword,omitempty"`
}

// renameUser takes the two names from where the dialect keeps them. Where they do not make up the name, which natively and elsewhere is one
// and may have been changed there, its last word is the last name.
func renameUser(n nativeUser) userView {
	view := userView{
		ID: n.ID, Username: n.Username, Email: n.Email, Groups: n.Groups, CreatedAt: n.CreatedAt, TemporaryPassword: n.TemporaryPassword,
	}
	var kept, too bool
	view.FirstName, kept = text(n.Properties, "first_name")
	view.LastName, too = text(n.Properties, "last_name")
	if !kept || !too || joined(view.FirstName, view.LastName) != n.Name {
		view.FirstName, view.LastName = n.Name, ""
		if at := strings.LastIndexByte(n.Name, ' '); at > 0 {
			view.FirstName, view.LastName = n.Name[:at], n.Name[at+1:]
		}
	}
	return view
}

// text is a member that is a text or not there, and whether it is one of these.
func text(of map[string]json.RawMessage, name string) (said string, ok bool) {
	raw, there := of[name]
	if !there {
		return "", true
	}
	return said, raw[0] == '"' && json.Unmarshal(raw, &said) == nil
}

func listUsers(c *dialects.Call) (dialects.Reply, error) {
	return paged(c, "/v1/users", shown(renameUser))
}

func getUser(c *dialects.Call) (dialects.Reply, error) {
	var native nativeUser
	_, err := c.Get(dialects.Path("v1", "users", c.Params["id"]), nil, &native)
	return dialects.Reply{Status: http.StatusOK, Body: renameUser(native)}, err
}

func createUser(c *dialects.Call) (dialects.Reply, error) {
	var in struct {
		FirstName string   `json:"firstName"`
		LastName  string   `json:"lastName"`
		Username  string   `json:"username"`
		Email     string   `json:"email"`
		Password  *string  `json:"password"`
		Groups    []string `json:"groups"`
	}
	if err := c.Decode(&in); err != nil {
		return dialects.Reply{}, err
	}
	if err := dialects.Require("firstName", in.FirstName, "lastName", in.LastName, "email", in.Email); err != nil {
		return dialects.Reply{}, err
	}
	body := map[string]any{
		"username": in.Username, "email": in.Email, "name": joined(in.FirstName, in.LastName), "groups": append([]string{}, in.Groups...),
		"properties": map[string]any{"first_name": in.FirstName, "last_name": in.LastName},
	}
	if in.Username == "" {
		body["username"] = in.Email
	}
	if in.Password != nil {
		body["password"] = *in.Password
	}
	answer, err := c.JSON(http.MethodPost, "/v1/users", nil, body)
	if err != nil {
		return dialects.Reply{}, err
	}
	var native nativeUser
	if err := answer.Decode(&native); err != nil {
		return dialects.Reply{}, err
	}
	return created(c, "users", native.ID, renameUser(native)), nil
}

func joined(first, last string) string { return strings.TrimSpace(first + " " + last) }

// unmodifiable are members of a user that no change may name.
func unmodifiable() []string { return []string{"id", "createdAt", "updatedAt", "username", "password"} }

func patchUser(c *dialects.Call) (dialects.Reply, error) {
	members, err := c.Members()
	if err != nil {
		return dialects.Reply{}, err
	}
	for _, name := range unmodifiable() {
		if _, named := members[name]; named {
			return dialects.Reply{}, &dialects.Fault{Kind: dialects.Unmodifiable, At: "/" + name}
		}
	}
	var in struct {
		FirstName *string   `json:"firstName"`
		LastName  *string   `json:"lastName"`
		Email     *string   `json:"email"`
		Groups    *[]string `json:"groups"`
	}
	if err := c.Decode(&in); err != nil {
		return dialects.Reply{}, err
	}
	change := map[string]any{}
	if in.Email != nil {
		change["email"] = *in.Email
	}
	if in.Groups != nil {
		change["groups"] = *in.Groups
	}
	if in.FirstName == nil && in.LastName == nil {
		return save(c, change)
	}
	return rename(c, change, in.FirstName, in.LastName)
}

// rename changes one or both halves of a name, which natively is one. The other half is read first, and the change holds only for what was
// read, unless the caller named a version itself.
func rename(c *dialects.Call, change map[string]any, first, last *string) (dialects.Reply, error) {
	named := c.Header.Get("If-Match") != ""
	for try := 1; ; try++ {
		if !named {
			c.Header.Del("If-Match")
		}
		var native nativeUser
		answer, err := c.Get(dialects.Path("v1", "users", c.Params["id"]), nil, &native)
		if err != nil {
			return dialects.Reply{}, err
		}
		view := renameUser(native)
		if first != nil {
			view.FirstName = *first
		}
		if last != nil {
			view.LastName = *last
		}
		change["name"] = joined(view.FirstName, view.LastName)
		change["properties"] = map[string]any{"first_name": view.FirstName, "last_name": view.LastName}
		if !named {
			c.Header.Set("If-Match", answer.Header.Get("Etag"))
		}
		reply, err := save(c, change)
		var refusal *dialects.Refusal
		if named || try == maxTries || !errors.As(err, &refusal) || refusal.Status != http.StatusPreconditionFailed {
			return reply, err
		}
	}
}

func save(c *dialects.Call, change map[string]any) (dialects.Reply, error) {
	answer, err := c.JSON(http.MethodPatch, dialects.Path("v1", "users", c.Params["id"]), nil, change)
	if err != nil {
		return dialects.Reply{}, err
	}
	var native nativeUser
	if err := answer.Decode(&native); err != nil {
		return dialects.Reply{}, err
	}
	return dialects.Reply{Status: http.StatusOK, Body: renameUser(native)}, nil
}

func deleteUser(c *dialects.Call) (dialects.Reply, error) { return remove(c, "users") }

// updatePassword is for one's own password: the native route knows whose token it is, so an id that is another's names nobody that it could
// be about.
func updatePassword(c *dialects.Call) (dialects.Reply, error) {
	var in struct {
		OldPassword string `json:"oldPassword"`
		NewPassword string `json:"newPassword"`
	}
	if err := c.Decode(&in); err != nil {
		return dialects.Reply{}, err
	}
	if err := dialects.Require("oldPassword", in.OldPassword, "newPassword", in.NewPassword); err != nil {
		return dialects.Reply{}, err
	}
	if owner := said(c).Subject; owner != "" && owner != c.Params["id"] {
		return dialects.Reply{}, worded(http.StatusForbidden, "IDE-0013")
	}
	_, err := c.JSON(http.MethodPost, "/v1/me/password", nil, map[string]any{
		"current_password": in.OldPassword, "new_password": in.NewPassword,
	})
	return dialects.Reply{Status: http.StatusNoContent}, err
}

// resetPassword is for another's: what the administrator chooses is a temporary password, with which its owner chooses a new one.
func resetPassword(c *dialects.Call) (dialects.Reply, error) {
	var in struct {
		NewPassword string `json:"newPassword"`
	}
	if err := c.Decode(&in); err != nil {
		return dialects.Reply{}, err
	}
	if err := dialects.Require("newPassword", in.NewPassword); err != nil {
		return dialects.Reply{}, err
	}
	_, err := c.JSON(http.MethodPost, dialects.Path("v1", "users", c.Params["id"])+"/password/reset", nil, map[string]any{
		"password": in.NewPassword,
	})
	return dialects.Reply{Status: http.StatusNoContent}, err
}
