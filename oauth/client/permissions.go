package client

import (
	"context"
	"fmt"

	"github.com/go-jose/go-jose/v4/json"
)

const permissionsPath = "/v1/permissions"

// AnyTenant is every tenant and none.
const AnyTenant = "*"

// Permission is a pair that a subject holds, wildcards as they are, and where it comes from.
type Permission struct {
	// Tenant is a tenant, AnyTenant, or empty for objects of no tenant.
	Tenant   string   `json:"tenant"`
	Resource string   `json:"resource"`
	Action   string   `json:"action"`
	Via      []string `json:"via"`
}

// Permissions returns the effective permissions of a subject in a tenant ("" for objects of no tenant, AnyTenant for all), to show them: a
// person's menu, an administrator's page. Whether something may be done is for Evaluate to say, which knows the policies of applications.
func (c *Client) Permissions(ctx context.Context, subject Subject, tenant string) ([]Permission, error) {
	if subject.Type == "" || subject.ID == "" {
		return nil, fmt.Errorf("%w: the subject needs a type and an id", ErrBadQuestion)
	}
	type asked struct {
		Type   string `json:"type"`
		ID     string `json:"id"`
		Tenant string `json:"tenant"`
	}
	body, err := c.ask(ctx, permissionsPath, map[string]asked{"subject": {subject.Type, subject.ID, tenant}})
	if err != nil {
		return nil, err
	}
	var said struct {
		Permissions *[]Permission `json:"permissions"`
	}
	if err := json.Unmarshal(body, &said); err != nil || said.Permissions == nil {
		return nil, unavailable("%s: the reply is malformed", permissionsPath)
	}
	return *said.Permissions, nil
}
