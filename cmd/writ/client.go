package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

const clientLimit = 30 * time.Second

// clientVariables are the variables of the client commands; a server's configuration passes them by.
func clientVariables() []string {
	names := []string{"WRIT_URL", "WRIT_ADMIN_URL", "WRIT_CLIENT_ID", "WRIT_USERNAME", "WRIT_CA_FILE"}
	for _, name := range []string{"WRIT_CLIENT_SECRET", "WRIT_PASSWORD", "WRIT_TOKEN"} {
		names = append(names, name, name+"_FILE")
	}
	return names
}

// remote is a running server as a client command sees it. Secrets have variables and files, but no flags, which every user of the
// machine could read in the process list.
type remote struct {
	url, adminURL, caFile     string
	clientID, secret          string
	username, password, token string
	scope, tenant             string
	http                      *http.Client
}

// remoteFlags adds the flags of a client command and returns what reads them with the environment behind them.
func (c *cli) remoteFlags(cmd *cobra.Command) func() (*remote, error) {
	flags := cmd.Flags()
	given := &remote{}
	flags.StringVar(&given.url, "url", "", "public listener of the server (WRIT_URL; http://127.0.0.1:8080)")
	flags.StringVar(&given.caFile, "ca-file", "", "PEM certificates to trust beside the system's (WRIT_CA_FILE)")
	flags.StringVar(&given.clientID, "client-id", "",
		"application to act as (WRIT_CLIENT_ID; its secret: WRIT_CLIENT_SECRET or WRIT_CLIENT_SECRET_FILE)")
	flags.StringVar(&given.username, "username", "",
		"person to log in (WRIT_USERNAME; the password: WRIT_PASSWORD or WRIT_PASSWORD_FILE)")
	flags.StringVar(&given.scope, "scope", "", "scopes to ask for, separated by spaces; absent: everything registered and held")
	flags.StringVar(&given.tenant, "token-tenant", "", "tenant that the token is to be bound to")
	return func() (*remote, error) {
		r := *given
		for _, v := range []struct {
			name string
			into *string
		}{
			{"WRIT_URL", &r.url},
			{"WRIT_ADMIN_URL", &r.adminURL},
			{"WRIT_CA_FILE", &r.caFile},
			{"WRIT_CLIENT_ID", &r.clientID},
			{"WRIT_CLIENT_SECRET", &r.secret},
			{"WRIT_USERNAME", &r.username},
			{"WRIT_PASSWORD", &r.password},
			{"WRIT_TOKEN", &r.token},
		} {
			value, err := c.variable(v.name)
			if err != nil {
				return nil, err
			}
			if *v.into == "" {
				*v.into = value
			}
		}
		if r.url == "" {
			r.url = "http://127.0.0.1:8080"
		}
		if r.adminURL == "" {
			r.adminURL = "http://127.0.0.1:8081"
		}
		r.url, r.adminURL = strings.TrimRight(r.url, "/"), strings.TrimRight(r.adminURL, "/")
		return &r, r.connect()
	}
}

// adminFlags are remoteFlags for a command that also speaks to the admin listener.
func (c *cli) adminFlags(cmd *cobra.Command) func() (*remote, error) {
	read := c.remoteFlags(cmd)
	admin := cmd.Flags().String("admin-url", "", "admin listener of the server (WRIT_ADMIN_URL; http://127.0.0.1:8081)")
	return func() (*remote, error) {
		r, err := read()
		if err == nil && *admin != "" {
			r.adminURL = strings.TrimRight(*admin, "/")
		}
		return r, err
	}
}

// connect prepares the HTTP client. Redirects are not followed: nothing of ours redirects, and a token must not travel.
func (r *remote) connect() error {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if r.caFile != "" {
		pem, err := os.ReadFile(r.caFile)
		if err != nil {
			return fmt.Errorf("--ca-file: %w", err)
		}
		roots, err := x509.SystemCertPool()
		if err != nil {
			roots = x509.NewCertPool()
		}
		if !roots.AppendCertsFromPEM(pem) {
			return fmt.Errorf("--ca-file: %s has no PEM certificate", r.caFile)
		}
		transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
	}
	r.http = &http.Client{
		Transport: transport, Timeout: clientLimit,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return nil
}

// tokenReply is RFC 6749, section 5.1.
type tokenReply struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"`
	Scope        string `json:"scope"`
	RefreshToken string `json:"refresh_token,omitempty"`
}

// issue asks for a token: a person's where a username is given, else the application's own.
func (r *remote) issue(ctx context.Context) (*tokenReply, error) {
	if r.clientID == "" {
		return nil, usage("no application to act as: set --client-id or WRIT_CLIENT_ID, and its secret in WRIT_CLIENT_SECRET " +
			"or WRIT_CLIENT_SECRET_FILE")
	}
	form := url.Values{"grant_type": {"client_credentials"}}
	if r.username != "" {
		form = url.Values{"grant_type": {"password"}, "username": {r.username}, "password": {r.password}}
	}
	for name, value := range map[string]string{"scope": r.scope, "tenant": r.tenant} {
		if value != "" {
			form.Set(name, value)
		}
	}
	if r.secret == "" {
		form.Set("client_id", r.clientID)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url+"/oauth2/token", strings.NewReader(form.Encode()))
	if err != nil {
		return nil, usage("--url: %s", err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if r.secret != "" {
		// RFC 6749, section 2.3.1: both halves are form-encoded first.
		request.SetBasicAuth(url.QueryEscape(r.clientID), url.QueryEscape(r.secret))
	}
	reply := new(tokenReply)
	return reply, r.do(request, reply)
}

// ask sends a request with the caller's token to the public listener; manage sends it to the admin listener.
func (r *remote) ask(ctx context.Context, method, path string, body, into any) error {
	return r.send(ctx, method, r.url+path, body, into)
}

func (r *remote) manage(ctx context.Context, method, path string, body, into any) error {
	return r.send(ctx, method, r.adminURL+path, body, into)
}

// send sends a request with the caller's token, which it gets first if there is none.
func (r *remote) send(ctx context.Context, method, address string, body, into any) error {
	if r.token == "" {
		issued, err := r.issue(ctx)
		if err != nil {
			return err
		}
		r.token = issued.AccessToken
	}
	var content io.Reader = http.NoBody
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return err
		}
		content = bytes.NewReader(raw)
	}
	request, err := http.NewRequestWithContext(ctx, method, address, content)
	if err != nil {
		return usage("--url: %s", err)
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	request.Header.Set("Authorization", "Bearer "+r.token)
	return r.do(request, into)
}

// refusal is any of the error languages of the server.
type refusal struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
	Code        string `json:"code"`
	Detail      string `json:"detail"`
	Pointer     string `json:"pointer"`
	RequestID   string `json:"request_id"`
}

// do reads the reply into a value, or, where that is nil, wants none.
func (r *remote) do(request *http.Request, into any) error {
	at, option := r.url, "--url"
	if !strings.HasPrefix(request.URL.String(), r.url+"/") {
		at, option = r.adminURL, "--admin-url"
	}
	reply, err := r.http.Do(request)
	if err != nil {
		return fmt.Errorf("no answer from %s: %w; is the server running, and is %s right?", at, errors.Unwrap(err), option)
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(io.LimitReader(reply.Body, 16<<20))
	if err != nil {
		return fmt.Errorf("the answer of %s was cut off: %w", at, err)
	}
	if reply.StatusCode/100 != 2 {
		return errors.New(explain(reply, body))
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("%s does not answer as Writ does; is %s right?", at, option)
	}
	return nil
}

// explain puts a refusal into one line.
func explain(reply *http.Response, body []byte) string {
	text := reply.Status
	var said refusal
	var plainly string
	switch {
	case json.Unmarshal(body, &plainly) == nil: // AuthZEN's errors are strings
		text += ": " + plainly
	case json.Unmarshal(body, &said) == nil:
		for _, part := range []string{said.Error, said.Description, said.Code, said.Detail, said.Pointer} {
			if part != "" {
				text += ": " + part
			}
		}
	}
	if id := reply.Header.Get("X-Request-ID"); id != "" {
		text += " (request " + id + ")"
	}
	return text
}
