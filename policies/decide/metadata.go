package decide

import (
	"encoding/json"
	"net/http"
)

// configuration is AuthZEN 1.0, section 9.1.
type configuration struct {
	PolicyDecisionPoint      string `json:"policy_decision_point"`
	AccessEvaluationEndpoint string `json:"access_evaluation_endpoint"`
}

// serveConfiguration answers GET /.well-known/authzen-configuration (AuthZEN 1.0, section 9). It is built from configuration only,
// never from the Host header, and names what is there and nothing else.
func (a *API) serveConfiguration(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "max-age=300")
	_ = json.NewEncoder(w).Encode(configuration{a.BaseURL, a.BaseURL + "/access/v1/evaluation"})
}
