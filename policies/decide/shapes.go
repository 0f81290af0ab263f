package decide

import (
	"net/http"
	"reflect"

	"github.com/writ-authz/writ/policies/enforce"
)

// errorShape is AuthZEN's error: a JSON string.
func errorShape() enforce.ErrorShape {
	return enforce.ErrorShape{
		Type: reflect.TypeFor[string](), Statuses: []int{
			http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests,
			http.StatusServiceUnavailable,
		},
	}
}

func evaluationShape() *enforce.Shape {
	return &enforce.Shape{
		Summary:  "May this subject do this? (AuthZEN 1.0, section 6)",
		Requests: enforce.Reads[evaluationRequest](), Open: true, Required: []string{"subject", "action", "resource"},
		Example: map[string]any{
			"subject": map[string]any{"type": "user", "id": "ada"}, "action": map[string]any{"name": "read"},
			"resource": map[string]any{"type": "ledger/accounts", "id": "123"}, "options": map[string]any{"reasons": true},
		},
		Replies: []enforce.ReplyShape{enforce.OK[evaluationReply]()},
	}
}

func permissionsShape() *enforce.Shape {
	return &enforce.Shape{
		Summary:  "The effective permissions of a subject",
		Requests: enforce.Reads[permissionsRequest](), Required: []string{"subject"},
		Example: map[string]any{"subject": map[string]any{"type": "user", "id": "ada"}},
		Replies: []enforce.ReplyShape{enforce.OK[permissionsReply]()},
	}
}

func configurationShape() *enforce.Shape {
	return &enforce.Shape{
		Summary: "Where the decision endpoints are (AuthZEN 1.0, section 9)",
		Replies: []enforce.ReplyShape{enforce.OK[configuration]()},
	}
}

func evaluationsShape() *enforce.Shape {
	return &enforce.Shape{
		Summary:  "May they do these things? Many questions at once (AuthZEN 1.0, section 7)",
		Requests: enforce.Reads[evaluationsRequest](), Open: true,
		Example: map[string]any{
			"subject": map[string]any{"type": "user", "id": "ada"}, "action": map[string]any{"name": "read"},
			"evaluations": []any{
				map[string]any{"resource": map[string]any{"type": "ledger/accounts", "id": "123"}},
				map[string]any{"resource": map[string]any{"type": "ledger/accounts", "id": "124"}},
			},
			"options": map[string]any{"evaluations_semantic": executeAll},
		},
		Replies: []enforce.ReplyShape{{
			Status: http.StatusOK, Types: []reflect.Type{reflect.TypeFor[evaluationsReply](), reflect.TypeFor[evaluationReply]()},
		}},
	}
}

func searchSubjectShape() *enforce.Shape {
	return &enforce.Shape{
		Summary:  "Who may do this? (AuthZEN 1.0, section 8.4)",
		Requests: enforce.Reads[searchRequest](), Open: true, Required: []string{"subject", "action", "resource"},
		Example: map[string]any{
			"subject": map[string]any{"type": "user"}, "action": map[string]any{"name": "read"},
			"resource": map[string]any{"type": "ledger/accounts", "id": "123"}, "page": map[string]any{"limit": 10},
		},
		Replies: []enforce.ReplyShape{enforce.OK[entitySearchReply]()},
	}
}

func searchResourceShape() *enforce.Shape {
	return &enforce.Shape{
		Summary:  "To which of these may they do this? (AuthZEN 1.0, section 8.5)",
		Requests: enforce.Reads[searchRequest](), Open: true, Required: []string{"subject", "action", "resource"},
		Example: map[string]any{
			"subject": map[string]any{"type": "user", "id": "ada"}, "action": map[string]any{"name": "read"},
			"resource": map[string]any{"type": "ledger/accounts"},
		},
		Replies: []enforce.ReplyShape{enforce.OK[entitySearchReply]()},
	}
}

func searchActionShape() *enforce.Shape {
	return &enforce.Shape{
		Summary:  "What may they do to this? (AuthZEN 1.0, section 8.6)",
		Requests: enforce.Reads[actionSearchRequest](), Open: true, Required: []string{"subject", "resource"},
		Example: map[string]any{
			"subject":  map[string]any{"type": "user", "id": "ada"},
			"resource": map[string]any{"type": "ledger/accounts", "id": "123"},
		},
		Replies: []enforce.ReplyShape{enforce.OK[actionSearchReply]()},
	}
}
