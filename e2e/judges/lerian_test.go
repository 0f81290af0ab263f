package judges

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/LerianStudio/lib-auth/v2/auth/middleware"
	"github.com/LerianStudio/lib-commons/v4/commons"
	"github.com/LerianStudio/lib-commons/v4/commons/log"
	"github.com/gofiber/fiber/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// lines keeps what lib-auth logs.
type lines struct {
	log.Logger
	said *[]string
}

func (l lines) Log(_ context.Context, _ log.Level, message string, _ ...log.Field) {
	*l.said = append(*l.said, message)
}

// lerian is lib-auth's client of the dialect, and what it logged.
func lerian(t *testing.T) (*middleware.AuthClient, *[]string) {
	t.Helper()
	said := &[]string{}
	var logger log.Logger = lines{log.NewNop(), said}
	client := middleware.NewAuthClient(server.public+"/lerian", true, &logger)
	if len(*said) != 1 || !strings.HasPrefix((*said)[0], "Connected to") {
		t.Fatalf("it does not find the server healthy: %q", *said)
	}
	return client, said
}

// guarded is a service with a route behind the middleware, as Lerian's products are.
func guarded(client *middleware.AuthClient, resource, action string) func(t *testing.T, token string) (int, string) {
	service := fiber.New(fiber.Config{DisableStartupMessage: true})
	service.Get("/accounts", client.Authorize("midaz", resource, action), func(c *fiber.Ctx) error { return c.SendString("the accounts") })
	return func(t *testing.T, token string) (int, string) {
		t.Helper()
		request := httptest.NewRequest(http.MethodGet, "/accounts", nil)
		if token != "" {
			request.Header.Set("Authorization", "Bearer "+token)
		}
		reply, err := service.Test(request, -1)
		if err != nil {
			t.Fatal(err)
		}
		defer reply.Body.Close()
		body, err := io.ReadAll(reply.Body)
		if err != nil {
			t.Fatal(err)
		}
		return reply.StatusCode, string(body)
	}
}

func TestDialectL23LibAuthOfApplications(t *testing.T) {
	client, _ := lerian(t)
	machine := newApplication(t, object{"grants": list{grant("accounts", "get")}})
	token, err := client.GetApplicationToken(t.Context(), machine.ID, machine.Secret)
	if err != nil || token == "" {
		t.Fatalf("token %q, %v", token, err)
	}
	if status, body := guarded(client, "accounts", "get")(t, token); status != http.StatusOK || body != "the accounts" {
		t.Errorf("what it may: %d %s", status, body)
	}
	if status, body := guarded(client, "accounts", "delete")(t, token); status != http.StatusForbidden {
		t.Errorf("what it may not: %d %s", status, body)
	}
	if status, body := guarded(client, "accounts", "get")(t, ""); status != http.StatusUnauthorized {
		t.Errorf("without a token: %d %s", status, body)
	}
	for _, secret := range []string{"wrong", ""} {
		var said commons.Response
		token, err := client.GetApplicationToken(t.Context(), machine.ID, secret)
		if !errors.As(err, &said) || token != "" || !strings.HasPrefix(said.Code, "AUT-") || said.Message == "" {
			t.Errorf("secret %q: token %q, %v", secret, token, err)
		}
	}
	// A token that has ended is a verdict on the caller, with the body that lib-auth hands on.
	call(t, http.MethodDelete, server.admin+"/v1/applications/"+machine.ID, rootBasic(), nil, http.StatusNoContent, nil)
	status, body := guarded(client, "accounts", "get")(t, token)
	var said commons.Response
	if err := json.Unmarshal([]byte(body), &said); err != nil || status != http.StatusUnauthorized || said.Code != "AUT-0007" {
		t.Errorf("an ended token: %d %s", status, body)
	}
}

func TestDialectL23LibAuthOfPeople(t *testing.T) {
	client, _ := lerian(t)
	password := "a password of the judge's"
	name := unique("ada")
	var made struct {
		ID string `json:"id"`
	}
	call(t, http.MethodPost, server.admin+"/v1/users", rootBasic(), object{
		"username": name, "email": name + "@example.com", "name": "Ada", "password": password, "grants": list{grant("accounts", "get")},
	}, http.StatusCreated, &made)
	var login struct {
		AccessToken string `json:"accessToken"`
	}
	call(t, http.MethodPost, server.public+"/lerian/v1/login/oauth/access_token", "",
		object{"grantType": "password", "username": name, "password": password}, http.StatusOK, &login)
	if status, body := guarded(client, "accounts", "get")(t, login.AccessToken); status != http.StatusOK || body != "the accounts" {
		t.Errorf("what she may: %d %s", status, body)
	}
	if status, body := guarded(client, "accounts", "post")(t, login.AccessToken); status != http.StatusForbidden {
		t.Errorf("what she may not: %d %s", status, body)
	}
	call(t, http.MethodPatch, server.admin+"/v1/users/"+made.ID, rootBasic(), object{"grants": list{}}, http.StatusOK, nil)
	if status, body := guarded(client, "accounts", "get")(t, login.AccessToken); status != http.StatusForbidden {
		t.Errorf("what she may no longer: %d %s", status, body)
	}
}

func TestDialectL23LibAuthOverGRPC(t *testing.T) {
	client, _ := lerian(t)
	machine := newApplication(t, object{"grants": list{grant("accounts", "get")}})
	token, err := client.GetApplicationToken(t.Context(), machine.ID, machine.Secret)
	if err != nil {
		t.Fatal(err)
	}
	interceptor := middleware.NewGRPCAuthUnaryPolicy(client, middleware.PolicyConfig{
		MethodPolicies: map[string]middleware.Policy{
			"/ledger.Accounts/Get":    {Resource: "accounts", Action: "get"},
			"/ledger.Accounts/Delete": {Resource: "accounts", Action: "delete"},
		},
		SubResolver: func(context.Context, string, any) (string, error) { return "midaz", nil },
	})
	for method, want := range map[string]codes.Code{
		"/ledger.Accounts/Get": codes.OK, "/ledger.Accounts/Delete": codes.PermissionDenied,
	} {
		ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("authorization", "Bearer "+token))
		_, err := interceptor(ctx, nil, &grpc.UnaryServerInfo{FullMethod: method}, func(context.Context, any) (any, error) { return "done", nil })
		if got := status.Code(err); got != want {
			t.Errorf("%s: %s, want %s", method, got, want)
		}
	}
	_, err = interceptor(t.Context(), nil, &grpc.UnaryServerInfo{FullMethod: "/ledger.Accounts/Get"}, nil)
	if got := status.Code(err); got != codes.Unauthenticated {
		t.Errorf("without a token: %s", got)
	}
}

// TestDialectL23LibAuthWithoutAServer: an outage is no denial.
func TestDialectL23LibAuthWithoutAServer(t *testing.T) {
	client, _ := lerian(t)
	machine := newApplication(t, object{"grants": list{grant("accounts", "get")}})
	token, err := client.GetApplicationToken(t.Context(), machine.ID, machine.Secret)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	away := *client
	away.Address = "http://" + listener.Addr().String()
	_ = listener.Close()
	if status, body := guarded(&away, "accounts", "get")(t, token); status < 500 {
		t.Errorf("it says %d %s", status, body)
	}
}
