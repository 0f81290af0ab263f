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
