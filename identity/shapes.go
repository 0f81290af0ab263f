package identity

import (
	"net/http"
	"reflect"
	"time"

	"github.com/writ-authz/writ/policies/enforce"
)

// Errors is what the errors of the planes look like that are written by WriteProblem and WriteDenial.
func Errors() enforce.ErrorShape {
	return enforce.ErrorShape{
		Type: reflect.TypeFor[Problem](), Media: "application/problem+json", WrongMedia: http.StatusUnsupportedMediaType,
		Statuses: []int{
			http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusTooManyRequests,
			http.StatusInternalServerError, http.StatusServiceUnavailable,
		},
	}
}

// shaped gives rows their shapes: those of shapes, by method and path.
func shaped(rows []enforce.Route) []enforce.Route {
	known := shapes()
	for i, row := range rows {
		shape, ok := known[row.Method+" "+row.Path]
		if !ok {
			continue // a test refuses it; to serve it undescribed harms nobody
		}
		shape.Query = parameters(row.Query)
		if row.Method != http.MethodGet {
			shape.Errors = append(shape.Errors, http.StatusConflict)
		}
		rows[i].Shape = &shape
	}
	return rows
}

// parameters says what the query parameters mean; a name means the same on every row.
func parameters(names []string) map[string]enforce.Parameter {
	flag := []string{"true", "false"}
	all := map[string]enforce.Parameter{
		"limit":        {Description: "How many items a page has at most; 50 unless set.", Type: reflect.TypeFor[int](), Min: 1, Max: maxLimit},
		"after":        {Description: "Begin behind this cursor: the value of next, or of last, in the reply before."},
		"before":       {Description: "The page that ends in front of this cursor: the value of first in the reply before. Not beside after."},
		"role":         {Description: "Only what has this role itself, not through a group; or one of several, with commas between."},
		"role_prefix":  {Description: "Only what has a role whose key begins with this text."},
		"name_prefix":  {Description: "Only what has a name, or username, that begins with this text, whatever its case."},
		"email_prefix": {Description: "Only who has an e-mail address that begins with this text, whatever its case."},
		"key_prefix":   {Description: "Only roles whose key begins with this text."},
		"count":        {Description: "Tell in total how many there are on all pages; left out beyond 1000.", Values: flag},
		"group":        {Description: "Only members of this group; of the catalogue: only types of this group."},
		"tenant":       {Description: "Only what belongs to this tenant."},
		"suspended":    {Description: "Only those who are suspended, or who are not.", Values: flag},
		"protected":    {Description: "Only what is protected, or what is not.", Values: flag},
		"active":       {Description: "Only what is active, or what is not.", Values: flag},
		"ended":        {Description: "Only sessions that have ended, or that have not.", Values: flag},
		"inherits":     {Description: "Only roles that inherit from this one themselves."},
		"force":        {Description: "Delete it even though others use it.", Values: flag},
		"subject":      {Description: "The id of a user or an application."},
		"client":       {Description: "The id of the application through which the sessions began."},
		"others":       {Description: "Keep the session of the caller's token.", Values: flag},
		"q":            {Description: "Text that is looked for literally, whatever its case."},
		"type":         {Description: "Only identities of this type.", Values: []string{kindUser, kindApplication}},
		"permission":   {Description: "Only who has this right, in whatever tenant; written as a scope: resource:action."},
		"application":  {Description: "Only who could read a secret of this application."},
		"actor":        {Description: "Only what this one did: type:id."},
		"target":       {Description: "Only what was done to this: a kind and an id, such as users/<id>."},
		"action":       {Description: "Only this action."},
		"outcome":      {Description: "Only what came out so.", Values: []string{outcomeOK, outcomeRefused, outcomeFailed}},
		"event":        {Description: "Only what was about to be done, or only what came of it.", Values: []string{eventIntent, eventOutcome}},
		"chain":        {Description: "Only the entries of this chain."},
		"decision_id":  {Description: "Only what this decision led to."},
		"since":        {Description: "Only from this time on.", Type: reflect.TypeFor[time.Time]()},
		"until":        {Description: "Only before this time.", Type: reflect.TypeFor[time.Time]()},
		"unused_for": {
			Description: "Only what was not used for so many days, or has secrets that were not.", Type: reflect.TypeFor[int](), Min: 1,
			Max: maxUnused,
		},
		"ring": {Description: "Only the keys of this ring."},
	}
	described := map[string]enforce.Parameter{}
	for _, name := range names {
		if p, ok := all[name]; ok {
			described[name] = p
		}
	}
	return described
}

// shapes says of every row of this room what it reads and replies.
func shapes() map[string]enforce.Shape {
	all := map[string]enforce.Shape{
		"GET /v1/catalogue": {Summary: "The known resource types and actions", Replies: replies(enforce.OK[catalogueView]())},
		"GET /v1/access-review": {
			Summary: "Who can do what and by what, who can read which secret, and what nobody uses", Replies: replies(enforce.OK[reviewPage]()),
		},
		"GET /v1/audit": {Summary: "List what was changed, revealed and refused", Replies: replies(enforce.OK[page[AuditLine]]())},
		"POST /v1/import": {
			Summary: "Bring in up to 100 objects in one transaction, or tell what that would do", Requests: enforce.Reads[importBody](),
			Example: map[string]any{"dry_run": true, "roles": []any{map[string]any{"key": "ops:viewer", "description": "Sees all"}}},
			Replies: replies(enforce.OK[importReply]()),
		},
		"POST /v1/export/verifiers": {
			Summary: "What the passwords and secrets of identities are verified with", Requests: enforce.Reads[exportFields](),
			Required: []string{"kind"}, Example: map[string]any{"kind": "user"}, Replies: replies(enforce.OK[page[verifierView]]()),
		},
		"DELETE /v1/tokens": {Summary: "Revoke every token there is", Replies: replies(enforce.NoContent())},
		"GET /v1/sessions":  {Summary: "List sessions", Replies: replies(enforce.OK[page[sessionView]]())},
		"DELETE /v1/sessions": {
			Summary: "End all sessions of a user or an application", Replies: replies(enforce.NoContent()),
		},
		"DELETE /v1/sessions/{sid}": {Summary: "End a session", Replies: replies(enforce.NoContent())},
		"GET /v1/keys":              {Summary: "List the keys of the server", Replies: replies(enforce.OK[turningPage[keyView]]())},
		"POST /v1/keys": {
			Summary: "Give a ring its next key, or promote the one that waits", Requests: enforce.Reads[keyFields](), Versioned: true,
			Required: []string{"ring"}, Example: map[string]any{"ring": "access", "alg": "ES256"},
			Replies: replies(enforce.Answer[keyView](http.StatusCreated), enforce.OK[keyView]()),
		},
		"GET /v1/keys/{kid}": {Summary: "One key of the server", Versioned: true, Replies: replies(enforce.OK[keyView]())},
		"DELETE /v1/keys/{kid}": {
			Summary: "End a key and all that it made", Versioned: true, Replies: replies(enforce.NoContent()),
		},
	}
	for _, part := range []map[string]enforce.Shape{userShapes(), bundleShapes(), applicationShapes(), secretShapes(), meShapes(), policyShapes()} {
		for row, shape := range part {
			all[row] = shape
		}
	}
	return all
}

func replies(shapes ...enforce.ReplyShape) []enforce.ReplyShape { return shapes }

// stored are the rows of one kind of object: In creates and merges, Put names its id too, View is what is shown.
func stored[In, Put, View any](path, id, noun string, required []string, example map[string]any) map[string]enforce.Shape {
	one := path + "/{" + id + "}"
	return map[string]enforce.Shape{
		"GET " + path: {Summary: "List " + noun + "s", Replies: replies(enforce.OK[turningPage[View]]())},
		"POST " + path: {
			Summary: "Create one " + noun, Requests: enforce.Reads[In](), Required: required, Example: example, Versioned: true,
			Replies: replies(enforce.Answer[View](http.StatusCreated)),
		},
		"GET " + one: {Summary: "One " + noun, Versioned: true, Replies: replies(enforce.OK[View]())},
		"PUT " + one: {
			Summary: "Create the " + noun + " of this id, or change it; what is not named keeps its value", Requests: enforce.Reads[Put](),
			Example: example, Versioned: true, Replies: replies(enforce.OK[View](), enforce.Answer[View](http.StatusCreated)),
		},
		"PATCH " + one: {
			Summary: "Change the " + noun + " by a merge patch (RFC 7396)", Requests: enforce.Reads[In](), Example: example, Versioned: true,
			Replies: replies(enforce.OK[View]()),
		},
		"DELETE " + one: {Summary: "Delete the " + noun, Versioned: true, Replies: replies(enforce.NoContent())},
	}
}

func userShapes() map[string]enforce.Shape {
	rows := stored[userFields, userPut, userView]("/v1/users", "id", "user", []string{"username", "email"}, map[string]any{
		"username": "ada", "email": "ada@example.com", "name": "Ada", "roles": []string{"ops:viewer"},
	})
	rows["POST /v1/users/{id}/password/reset"] = enforce.Shape{
		Summary: "Give a user a temporary password, the one that is said or one that the server makes", Versioned: true,
		Requests: []reflect.Type{reflect.TypeFor[resetFields]()}, Example: map[string]any{"password": "copper-sparrow-lantern-7"},
		Replies: replies(enforce.OK[temporaryPasswordView]()),
	}
	rows["DELETE /v1/users/{id}/tokens"] = enforce.Shape{
		Summary: "Revoke all tokens of a user", Versioned: true, Replies: replies(enforce.NoContent()),
	}
	return rows
}

// bundleShapes are the rows of what carries rights or holds objects together.
func bundleShapes() map[string]enforce.Shape {
	rows := stored[groupFields, groupPut, groupView]("/v1/groups", "id", "group", []string{"name"}, map[string]any{
		"name": "Group one", "roles": []string{"ops:viewer"},
	})
	role := map[string]any{"description": "Sees all", "grants": []any{map[string]any{"resource": "ledger", "action": "read"}}}
	for row, shape := range stored[roleFields, roleKeyed, roleView]("/v1/roles", "key", "role", nil, role) {
		rows[row] = shape
	}
	create := rows["POST /v1/roles"]
	create.Requests, create.Required = enforce.Reads[roleKeyed](), []string{"key"}
	create.Example = map[string]any{"key": "ops:viewer", "description": "Sees all"}
	rows["POST /v1/roles"] = create
	tenant := map[string]any{"name": "North", "enabled": true}
	for row, shape := range stored[tenantFields, tenantPut, tenantView]("/v1/tenants", "id", "tenant", []string{"name"}, tenant) {
		rows[row] = shape
	}
	return rows
}

func applicationShapes() map[string]enforce.Shape {
	rows := stored[applicationFields, applicationPut, applicationView]("/v1/applications", "id", "application", []string{"name"},
		map[string]any{
			"name": "billing", "grant_types": []string{"client_credentials"}, "scopes": []string{"ledger/accounts:read"},
			"grants": []any{map[string]any{"resource": "ledger/accounts", "action": "read"}},
		})
	rows["POST /v1/applications/bulk-delete"] = enforce.Shape{
		Summary: "Delete up to 100 applications, all or none", Requests: enforce.Reads[bulkFields](), Required: []string{"ids"},
		Example: map[string]any{"ids": []string{"app_0"}}, Versioned: true, Replies: replies(enforce.NoContent()),
	}
	rows["DELETE /v1/applications/{id}/tokens"] = enforce.Shape{
		Summary: "Revoke all that was issued to an application", Versioned: true, Replies: replies(enforce.NoContent()),
	}
	rows["GET /v1/applications/{id}/scopes"] = enforce.Shape{
		Summary: "The scopes that an application may ask for", Versioned: true, Replies: replies(enforce.OK[scopesView]()),
	}
	rows["PUT /v1/applications/{id}/scopes"] = enforce.Shape{
		Summary: "Replace the scopes that an application may ask for", Requests: enforce.Reads[scopesFields](), Required: []string{"scopes"},
		Example: map[string]any{"scopes": []string{"ledger:read"}}, Versioned: true, Replies: replies(enforce.OK[scopesView]()),
	}
	return rows
}

func secretShapes() map[string]enforce.Shape {
	return map[string]enforce.Shape{
		"GET /v1/applications/{id}/secrets": {
			Summary: "List the secrets of an application, without their values", Versioned: true,
			Replies: replies(enforce.OK[page[secretView]]()),
		},
		"POST /v1/applications/{id}/secrets": {
			Summary: "Give an application another secret", Requests: enforce.Reads[secretFields](), Versioned: true,
			Example: map[string]any{"label": "blue"}, Replies: replies(enforce.Answer[secretView](http.StatusCreated)),
		},
		"DELETE /v1/applications/{id}/secrets/{sid}": {
			Summary: "Revoke a secret and the tokens that it got", Versioned: true, Replies: replies(enforce.NoContent()),
		},
		"POST /v1/applications/{id}/secrets/{sid}/reveal": {
			Summary: "Read a secret again", Requests: enforce.Reads[revealFields](),
			Example: map[string]any{"reason": "migration"}, Replies: replies(enforce.OK[revealView]()),
		},
	}
}

func policyShapes() map[string]enforce.Shape {
	why := map[string]any{"reason": "invoices up to 500"}
	return map[string]enforce.Shape{
		"GET /v1/policies": {
			Summary: "The policy set that is loaded, and the revisions that were pushed", Replies: replies(enforce.OK[policiesView]()),
		},
		"POST /v1/policies": {
			Summary: "Keep a policy set as a revision that can be activated", Requests: enforce.Reads[pushFields](),
			Example: map[string]any{"files": map[string]any{"apps/invoice/policy.rego": "package apps.invoice"}, "note": "first draft"},
			Replies: replies(enforce.Answer[revisionView](http.StatusCreated), enforce.OK[revisionView]()),
		},
		"GET /v1/policies/{revision}":    {Summary: "A revision with its files", Replies: replies(enforce.OK[revisionDetail]())},
		"DELETE /v1/policies/{revision}": {Summary: "Forget a revision that is not in use", Replies: replies(enforce.NoContent())},
		"POST /v1/policies/{revision}/activate": {
			Summary: "Make a revision serve on every node, if it passes the whole gate", Requests: enforce.Reads[activateFields](),
			Required: []string{"reason"}, Example: why, Replies: replies(enforce.OK[activationView]()),
		},
		"POST /v1/policies/rollback": {
			Summary: "Make the revision serve again that served before", Requests: enforce.Reads[activateFields](),
			Required: []string{"reason"}, Example: why, Replies: replies(enforce.OK[activationView]()),
		},
		"GET /v1/policy-activations": {
			Summary: "What served when, by whom and why, the newest first", Replies: replies(enforce.OK[page[activationView]]()),
		},
		"POST /v1/policies/{revision}/shadow": {
			Summary:  "Ask a revision a share of the questions, beside what serves",
			Requests: enforce.Reads[shadowFields](), Required: []string{"share"}, Example: map[string]any{"share": 0.1},
			Replies: replies(enforce.OK[shadowStarted]()),
		},
		"GET /v1/policies/{revision}/shadow": {
			Summary: "What the shadow of this node would have answered otherwise", Replies: replies(enforce.OK[shadowView]()),
			Errors: []int{http.StatusConflict},
		},
		"DELETE /v1/policies/{revision}/shadow": {Summary: "End the shadow", Replies: replies(enforce.NoContent())},
		"GET /v1/policy-data":                   {Summary: "List the documents that policies see", Replies: replies(enforce.OK[page[documentView]]())},
		"GET /v1/policy-data/{path...}": {
			Summary: "A document that policies see", Versioned: true, Replies: replies(enforce.OK[any]()),
			Errors: []int{http.StatusConflict},
		},
		"PUT /v1/policy-data/{path...}": {
			Summary: "Lay a document over the data of an application", Requests: enforce.Reads[any](), Versioned: true,
			Example: map[string]any{"limit": 500},
			Replies: replies(enforce.OK[documentView](), enforce.Answer[documentView](http.StatusCreated)),
		},
		"DELETE /v1/policy-data/{path...}": {Summary: "Take a document away", Versioned: true, Replies: replies(enforce.NoContent())},
	}
}

func meShapes() map[string]enforce.Shape {
	return map[string]enforce.Shape{
		"GET /v1/me": {Summary: "The caller as it is known here", Versioned: true, Replies: replies(enforce.OK[meView]())},
		"PUT /v1/me": {
			Summary:  "Change what is one's own to change",
			Requests: []reflect.Type{reflect.TypeFor[meUser](), reflect.TypeFor[meApplication]()},
			Example:  map[string]any{"name": "Ada"}, Versioned: true, Replies: replies(enforce.OK[meView]()),
		},
		"POST /v1/me/password": {
			Summary:  "Replace one's own password, or the secret that authenticated an application",
			Requests: []reflect.Type{reflect.TypeFor[passwordFields](), reflect.TypeFor[ownSecretFields]()},
			Example:  map[string]any{"current_password": "…", "new_password": "…"},
			Replies:  replies(enforce.NoContent(), enforce.OK[secretView]()),
		},
		"GET /v1/me/sessions":          {Summary: "List one's own sessions", Replies: replies(enforce.OK[page[sessionView]]())},
		"DELETE /v1/me/sessions":       {Summary: "End one's own sessions", Replies: replies(enforce.NoContent())},
		"DELETE /v1/me/sessions/{sid}": {Summary: "End one of one's own sessions", Replies: replies(enforce.NoContent())},
	}
}
