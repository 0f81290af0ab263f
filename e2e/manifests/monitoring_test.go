package manifests_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"sigs.k8s.io/yaml"
)

const monitoring = "../../deploy/monitoring/"

func TestPrometheusTakesTheAlerts(t *testing.T) {
	groups, errs := rulefmt.ParseFile(monitoring+"alerts.yml", false)
	for _, err := range errs {
		t.Error(err)
	}
	if t.Failed() {
		return
	}
	guide, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	rules := 0
	for _, group := range groups.Groups {
		for _, rule := range group.Rules {
			rules++
			if severity := rule.Labels["severity"]; severity != "page" && severity != "ticket" {
				t.Errorf("%s: severity %q", rule.Alert, severity)
			}
			if !strings.Contains(string(guide), "`"+rule.Alert+"`") {
				t.Errorf("%s: docs/operations.md does not say what to do", rule.Alert)
			}
		}
	}
	if rules == 0 {
		t.Error("no rules")
	}
}

// TestTheNodesOfComposeAreScraped: who is scraped is who compose.yaml starts, where its admin listener is.
func TestTheNodesOfComposeAreScraped(t *testing.T) {
	var config struct {
		RuleFiles []string `json:"rule_files"`
		Scrape    []struct {
			Job    string `json:"job_name"`
			Static []struct {
				Targets []string `json:"targets"`
			} `json:"static_configs"`
		} `json:"scrape_configs"`
	}
	var compose struct {
		Services map[string]struct {
			Volumes []string `json:"volumes"`
		} `json:"services"`
	}
	for file, into := range map[string]any{monitoring + "prometheus.yml": &config, "../../deploy/compose.yaml": &compose} {
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal(body, into); err != nil {
			t.Fatal(file, err)
		}
	}
	scraped := map[string]bool{}
	for _, target := range config.Scrape[0].Static[0].Targets {
		host, found := strings.CutSuffix(target, ":8081")
		if _, known := compose.Services[host]; !found || !known {
			t.Errorf("%s is not the admin listener of a service", target)
		}
		scraped[host] = true
	}
	for name := range compose.Services {
		if strings.HasPrefix(name, "writ-") && !scraped[name] {
			t.Errorf("%s is not scraped", name)
		}
	}
	for _, service := range []string{"prometheus", "grafana"} {
		for _, volume := range compose.Services[service].Volumes {
			from, _, _ := strings.Cut(volume, ":")
			if !strings.HasPrefix(from, "./") {
				continue
			}
			if _, err := os.Stat("../../deploy/" + from); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestTheDashboardIsWhatPrometheusUnderstands parses each query as Prometheus does.
func TestTheDashboardIsWhatPrometheusUnderstands(t *testing.T) {
	body, err := os.ReadFile(monitoring + "grafana/dashboards/writ.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			ID      int
			Title   string
			Type    string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(body, &dashboard); err != nil {
		t.Fatal(err)
	}
	ids, queries := map[int]bool{}, 0
	for _, panel := range dashboard.Panels {
		if ids[panel.ID] {
			t.Errorf("two panels have the id %d", panel.ID)
		}
		ids[panel.ID] = true
		if panel.Type != "row" && len(panel.Targets) == 0 {
			t.Errorf("%s asks nothing", panel.Title)
		}
		for _, target := range panel.Targets {
			queries++
			// Grafana puts these in.
			text := strings.NewReplacer("$__rate_interval", "1m", "$instance", ".*").Replace(target.Expr)
			if _, err := parser.ParseExpr(text); err != nil {
				t.Errorf("%s: %v", panel.Title, err)
			}
		}
	}
	if queries == 0 {
		t.Error("no queries")
	}
}
