package decide

import (
	"encoding/json"
	"net/http"
)

// configuration is AuthZEN 1.0, section 9.1.
type configuration struct {
	PolicyDecisionPoint       string   `json:"policy_decision_point"`
	AccessEvaluationEndpoint  string   `json:"access_evaluation_endpoint"`
	AccessEvaluationsEndpoint string   `json:"access_evaluations_endpoint"`
	SearchSubjectEndpoint     string   `json:"search_subject_endpoint"`
	SearchResourceEndpoint    string   `json:"search_resource_endpoint"`
	SearchActionEndpoint      string   `json:"search_action_endpoint"`
	Capabilities              []string `json:"capabilities"`
}

// What Writ has beyond the standard: reasons on request (options.reasons), and questions about a received token (subject type token).
const (
	capabilityReasons = "urn:writ:authzen:reasons"
	capabilityTokens  = "urn:writ:authzen:subject-token" //nolint:gosec // the name of a capability
)

// serveConfiguration answers GET /.well-known/authzen-configuration (AuthZEN 1.0, section 9). It is built from configuration only,
// never from the Host header, and names what is there and nothing else.
func (a *API) serveConfiguration(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "max-age=300")
	_ = json.NewEncoder(w).Encode(configuration{
		PolicyDecisionPoint:       a.BaseURL,
		AccessEvaluationEndpoint:  a.BaseURL + pathEvaluation,
		AccessEvaluationsEndpoint: a.BaseURL + pathEvaluations,
		SearchSubjectEndpoint:     a.BaseURL + pathSearchSubject,
		SearchResourceEndpoint:    a.BaseURL + pathSearchResource,
		SearchActionEndpoint:      a.BaseURL + pathSearchAction,
		Capabilities:              []string{capabilityReasons, capabilityTokens},
	})
}
