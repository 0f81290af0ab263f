package rustici

import (
	"encoding/json"

	"github.com/writ-authz/writ/cmd/writ/dialects"
)

// restated is a native refusal that says some things otherwise; what it is about stays.
func restated(r *dialects.Refusal, otherwise map[string]any) error {
	said := map[string]any{}
	if json.Unmarshal(r.Body, &said) != nil {
		return r // of a language without members
	}
	for name, value := range otherwise {
		said[name] = value
	}
	again := *r
	if status, ok := otherwise["status"].(int); ok {
		again.Status = status
	}
	if code, ok := otherwise["code"].(string); ok {
		again.Code = code
	}
	var err error
	if again.Body, err = json.Marshal(said); err != nil {
		return r
	}
	return &again
}
