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

func askedExample() map[string]any {
	return map[string]any{
		"subject": map[string]any{"type": "user", "id": "ada"}, "action": map[string]any{"name": "read"},
		"resource": map[string]any{"type": "ledger/accounts", "id": "123"},
	}
}

func dataShape() *enforce.Shape {
	return &enforce.Shape{
		Summary:  "The document that a published entrypoint is for a question (OPA's data API)",
		Requests: enforce.Reads[dataRequest](), Open: true, Required: []string{"input"},
		Example: map[string]any{"input": askedExample()},
		Replies: []enforce.ReplyShape{enforce.OK[dataReply]()}, Errors: []int{http.StatusNotFound},
	}
}

func batchShape() *enforce.Shape {
	return &enforce.Shape{
		Summary:  "The documents for many questions (OPA's batch API)",
		Requests: enforce.Reads[batchRequest](), Open: true, Required: []string{"inputs"},
		Example: map[string]any{
			"common_input": askedExample(), "inputs": map[string]any{"1": map[string]any{"resource": map[string]any{"id": "1"}}},
		},
		Replies: []enforce.ReplyShape{enforce.OK[batchReply](), enforce.Answer[batchReply](http.StatusMultiStatus), enforce.Answer[batchReply](http.StatusServiceUnavailable)},
		Errors:  []int{http.StatusNotFound},
	}
}

func compileShape() *enforce.Shape {
	replies := make([]enforce.ReplyShape, 0, len(media()))
	for _, m := range media() {
		reply := enforce.OK[compileReply]()
		reply.Media = m.media
		replies = append(replies, reply)
	}
	question := askedExample()
	question["resource"] = map[string]any{"type": "helpdesk/ticket"}
	return &enforce.Shape{
		Summary:  "The filter that selects what a published entrypoint permits (OPA's compile API)",
		Requests: enforce.Reads[compileRequest](), Open: true, Required: []string{"input"},
		Example: map[string]any{"input": question, "options": map[string]any{"mappings": map[string]any{"reporter": "reported_by"}}},
		Replies: replies, Errors: []int{http.StatusNotFound, http.StatusNotAcceptable},
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
