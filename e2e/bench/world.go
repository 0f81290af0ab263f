//go:build linux

package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
)

// What the decisions are about: row PF-02.
const (
	roles        = 1000
	grants       = 20 // of each role
	rolesPerUser = 3
	seedBatch    = 1000
)

// world is what the scenarios find in the server.
type world struct {
	*server
	bare          *server // with nothing in its store, for the floors
	users         int
	oauth         oauth
	asking        string        // Bearer token that may ask for decisions
	administering string        // Bearer token that may read users
	passing       string        // Bearer token that passes a gateway at a row of the shipped table
	spoken        credentialsOf // of an application that is asked for and about through a dialect and natively
}

type object = map[string]any

// environment is how a server on fresh data is started: root's secret, and where the data is.
func environment(dir, mongodb string) (secret string, env []string, err error) {
	secret = rand.Text() + rand.Text()
	env = []string{"WRIT_BOOTSTRAP_SECRET=" + secret, "WRIT_DATA_DIR=" + filepath.Join(dir, "data")}
	if mongodb == "" {
		return secret, env, nil
	}
	key := make([]byte, 32)
	rand.Read(key) //nolint:errcheck // it ends the process rather than to fail
	file := filepath.Join(dir, "kek")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", nil, err
	}
	err = os.WriteFile(file, []byte(base64.StdEncoding.EncodeToString(key)), 0o600)
	return secret, append(env, "WRIT_MONGODB_URI="+mongodb, "WRIT_KEK_FILE="+file), err
}

// populate seeds roles and users and makes the applications, through the API, with secrets that the server makes.
func populate(ctx context.Context, s, bare *server, rootSecret string, users int, p pace) (*world, error) {
	w := &world{server: s, bare: bare, users: users}
	if err := errors.Join(w.seed(ctx, "roles", roles, role), w.seed(ctx, "users", users, user)); err != nil {
		return nil, err
	}
	root, err := w.token(ctx, basic("root", rootSecret))
	if err != nil {
		return nil, err
	}
	if err := w.prepareOAuth(ctx, root, p); err != nil {
		return nil, err
	}
	asker, err := w.application(ctx, root, object{
		"name": "asking", "grants": []object{{"tenant": "*", "resource": "decisions", "action": "ask"}},
	})
	if err != nil {
		return nil, err
	}
	administrator, err := w.application(ctx, root, object{
		"name": "administering", "grants": []object{{"tenant": "*", "resource": "iam/users", "action": "read"}},
	})
	if err != nil {
		return nil, err
	}
	if w.spoken, err = w.made(ctx, root, object{
		"name": "spoken", "grants": []object{{"resource": "accounts", "action": "get"}},
	}); err != nil {
		return nil, err
	}
	visitor, err := w.application(ctx, root, object{
		"name": "passing", "grants": []object{{"resource": "users/user", "action": "view"}},
	})
	if err != nil {
		return nil, err
	}
	if w.asking, err = w.token(ctx, asker); err != nil {
		return nil, err
	}
	if w.passing, err = w.token(ctx, visitor); err != nil {
		return nil, err
	}
	w.administering, err = w.token(ctx, administrator)
	return w, err
}

// seed inserts records 0 to n-1 of a kind.
func (w *world) seed(ctx context.Context, kind string, n int, record func(int) object) error {
	for first := 0; first < n; first += seedBatch {
		var batch []object
		for i := first; i < min(first+seedBatch, n); i++ {
			batch = append(batch, record(i))
		}
		body, err := json.Marshal(object{"kind": kind, "records": batch})
		if err != nil {
			return err
		}
		status, text, err := ask(ctx, http.MethodPost, "http://"+w.public+"/bench/records", nil, body)
		if err != nil || status != http.StatusNoContent {
			return fmt.Errorf("seed %s: got %d %s: %w", kind, status, text, err)
		}
	}
	return nil
}

func roleKey(n int) string { return fmt.Sprintf("shop:r%04d", n%roles) }

// resourceOf is what grant g of role r gives.
func resourceOf(r, g int) string { return fmt.Sprintf("shop/r%04d/g%02d", r%roles, g%grants) }

func userID(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012x", n) }

// held is the number of role k of user n. The strides keep the three apart, and role 0 + offHeld out of all of them.
func held(n, k int) int { return (7*n + 331*k) % roles }

const offHeld = 500

func role(n int) object {
	var given []object
	for g := range grants {
		given = append(given, object{"resource": resourceOf(n, g), "action": "read"})
	}
	return object{"id": roleKey(n), "grants": given, "inherits": []string{}}
}

func user(n int) object {
	var given []string
	for k := range rolesPerUser {
		given = append(given, roleKey(held(n, k)))
	}
	name := fmt.Sprintf("user%07d", n)
	email := name + "@example.com"
	return object{
		"id": userID(n), "name": "User " + name, "username": name, "username_key": name, "email": email, "email_key": email,
		"groups": []string{}, "roles": given, "grants": []object{}, "password": object{},
	}
}

func basic(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))
}

// create makes an object through the API and returns it.
func (w *world) create(ctx context.Context, root, path string, fields object) ([]byte, error) {
	body, err := json.Marshal(fields)
	if err != nil {
		return nil, err
	}
	header := http.Header{"Authorization": {root}, "Content-Type": {"application/json"}}
	status, text, err := ask(ctx, http.MethodPost, "http://"+w.admin+path, header, body)
	if err != nil || status != http.StatusCreated {
		return nil, fmt.Errorf("make %s in %s: got %d %s: %w", fields["name"], path, status, text, err)
	}
	return text, nil
}

// application makes one, for client_credentials unless the fields say otherwise, and returns its Basic credentials.
func (w *world) application(ctx context.Context, root string, fields object) (string, error) {
	made, err := w.made(ctx, root, fields)
	return basic(made.id, made.secret), err
}

// credentialsOf are those of an application.
type credentialsOf struct{ id, secret string }

// made makes an application.
func (w *world) made(ctx context.Context, root string, fields object) (credentialsOf, error) {
	if fields["grant_types"] == nil {
		fields["grant_types"] = []string{"client_credentials"}
	}
	text, err := w.create(ctx, root, "/v1/applications", fields)
	if err != nil {
		return credentialsOf{}, err
	}
	var made struct {
		ID     string `json:"id"`
		Secret struct {
			Value string `json:"value"`
		} `json:"secret"`
	}
	if err := json.Unmarshal(text, &made); err != nil || made.Secret.Value == "" {
		return credentialsOf{}, fmt.Errorf("the secret of application %s is not in %s: %w", fields["name"], text, err)
	}
	return credentialsOf{made.ID, made.Secret.Value}, nil
}

// token returns a Bearer credential with all that the application holds.
func (w *world) token(ctx context.Context, credentials string) (string, error) {
	header := http.Header{"Authorization": {credentials}, "Content-Type": {"application/x-www-form-urlencoded"}}
	status, text, err := ask(ctx, http.MethodPost, "http://"+w.public+"/oauth2/token", header, []byte("grant_type=client_credentials"))
	var issued struct {
		AccessToken string `json:"access_token"`
	}
	if err == nil && status == http.StatusOK {
		err = json.Unmarshal(text, &issued)
	}
	if err != nil || issued.AccessToken == "" {
		return "", fmt.Errorf("take a token: got %d %s: %w", status, text, err)
	}
	return "Bearer " + issued.AccessToken, nil
}
