package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// endsWithin is how long a node takes after shutdown_delay to end at the most, as docs/operations.md says.
const endsWithin = 29 * time.Second

// composeFile is what the tests read of deploy/compose.yaml.
type composeFile struct {
	Services map[string]struct {
		Image       string            `yaml:"image"`
		User        string            `yaml:"user"`
		Environment map[string]string `yaml:"environment"`
		Secrets     []string          `yaml:"secrets"`
		Ports       []string          `yaml:"ports"`
		Volumes     []string          `yaml:"volumes"`
		StopGrace   time.Duration     `yaml:"stop_grace_period"`
	} `yaml:"services"`
	Secrets map[string]struct {
		File string `yaml:"file"`
	} `yaml:"secrets"`
}

// TestTheComposeFile reads deploy/compose.yaml: its variables are Writ's, every secret is a file that the repository does not
// hold, nothing has a default that would be a password, and the nodes differ in nothing but their ports.
func TestTheComposeFile(t *testing.T) {
	binaryOnly(t)
	body, err := os.ReadFile("../deploy/compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var compose composeFile
	if err := yaml.Unmarshal(body, &compose); err != nil {
		t.Fatal(err)
	}
	known := configKeys(t)
	for name, service := range compose.Services {
		for key, value := range service.Environment {
			option, isOurs := strings.CutPrefix(key, "WRIT_")
			if isOurs && !known[strings.ToLower(option)] && !known[strings.ToLower(strings.TrimSuffix(option, "_FILE"))] {
				t.Errorf("%s: %s is no variable of Writ", name, key)
			}
			secretive := regexp.MustCompile(`PASSWORD|SECRET|URI|KEK`).MatchString(key)
			if secretive && !(strings.HasSuffix(key, "_FILE") && strings.HasPrefix(value, "/run/secrets/")) {
				t.Errorf("%s: %s is not taken from a secret's file", name, key)
			}
			if file, ok := strings.CutPrefix(value, "/run/secrets/"); ok && !slices.Contains(service.Secrets, file) {
				t.Errorf("%s: %s names a secret that the service is not given", name, key)
			}
		}
		for _, secret := range service.Secrets {
			if file := compose.Secrets[secret].File; file != "./secrets/"+secret {
				t.Errorf("%s: the secret %s is in %q, want a file below secrets", name, secret, file)
			}
		}
		for _, port := range service.Ports {
			if !strings.HasPrefix(port, "127.0.0.1:") {
				t.Errorf("%s: port %s is open to the world", name, port)
			}
		}
		if strings.HasSuffix(service.Image, ":latest}") || !strings.Contains(service.Image, ":-") {
			t.Errorf("%s: the image %s is not pinned with a way to replace it", name, service.Image)
		}
	}
	one, two := compose.Services["writ-1"], compose.Services["writ-2"]
	one.Ports, two.Ports = nil, nil
	if diff := cmp.Diff(one, two); diff != "" || len(one.Environment) == 0 {
		t.Errorf("the nodes differ (-one +two):\n%s", diff)
	}
	if one.StopGrace <= endsWithin {
		t.Errorf("the nodes are killed %s after SIGTERM, and may take %s to end", one.StopGrace, endsWithin)
	}
	ignore, err := os.ReadFile("../.gitignore")
	if err != nil || !strings.Contains("\n"+string(ignore), "\n/deploy/secrets/\n") {
		t.Errorf("git does not ignore deploy/secrets (%v)", err)
	}
}

// TestComposeTakesTheFile has docker-compose judge the file, with and without the variables that it demands.
func TestComposeTakesTheFile(t *testing.T) {
	binaryOnly(t)
	compose, err := exec.LookPath("docker-compose")
	leftOut(t, err != nil, "there is no docker-compose on this machine to judge deploy/compose.yaml; its text is read by another test")
	config := func(env ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), compose, "--file", "compose.yaml", "config")
		cmd.Dir = "../deploy"
		cmd.Env = append(environment(nil), env...)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	user, issuer := "WRIT_USER=1000:1000", "WRIT_ISSUER=https://auth.example.com"
	if out, err := config(user, issuer); err != nil || !strings.Contains(out, "writ-2") {
		t.Errorf("docker-compose config: %v\n%s", err, out)
	}
	for _, set := range []string{user, issuer} {
		if out, err := config(set); err == nil {
			t.Errorf("docker-compose config takes the file with nothing but %s:\n%s", set, out)
		}
	}
}

// TestEveryMetricThatIsWatchedIsThere: what the dashboard and the alerts name, a node exposes, with the labels by which they ask.
func TestEveryMetricThatIsWatchedIsThere(t *testing.T) {
	binaryOnly(t)
	s := fresh(t, Options{})
	c := story(t, s).root()
	u := c.newUser(nil)
	front := c.front()
	c.as("").ask(front, "grant_type", "password", "username", u.Username, "password", u.Password).wantStatus(200)
	c.root().post("/access/v1/evaluation", question("user", u.ID, "read", "shop/things", "1")).wantStatus(200)
	c.get("/metrics").wantStatus(200)
	c.done()
	there := map[string]map[string]bool{} // by name, the labels
	sample := regexp.MustCompile(`(?m)^([a-z][a-z0-9_]*)(?:\{(.*)\})? `)
	label := regexp.MustCompile(`([a-z_]+)="`)
	for _, found := range sample.FindAllStringSubmatch(string(c.last.body), -1) {
		if there[found[1]] == nil {
			there[found[1]] = map[string]bool{"instance": true, "job": true} // Prometheus adds these
		}
		for _, l := range label.FindAllStringSubmatch(found[2], -1) {
			there[found[1]][l[1]] = true
		}
	}
	watched := 0
	for _, file := range []string{"../deploy/monitoring/alerts.yml", "../deploy/monitoring/grafana/dashboards/writ.json"} {
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(string(body), `\"`, `"`)
		for _, found := range regexp.MustCompile(`\b((?:writ|process|go)_[a-z0-9_]+)(?:\{([^}]*)\})?`).FindAllStringSubmatch(text, -1) {
			watched++
			labels, known := there[found[1]]
			if !known {
				t.Errorf("%s: no node has a metric %s", file, found[1])
				continue
			}
			for _, l := range regexp.MustCompile(`([a-z_]+)(?:=|!=|=~)"`).FindAllStringSubmatch(found[2], -1) {
				if !labels[l[1]] {
					t.Errorf("%s: %s has no label %s", file, found[1], l[1])
				}
			}
		}
	}
	if watched < 40 {
		t.Errorf("only %d metrics are named", watched)
	}
}

// TestPrometheusWatchesANode runs a Prometheus on deploy/monitoring, in a hurry: it scrapes a node, works out every alert and every query of
// the dashboard, all of which have something to show for a node that has done a little of everything, and finds out when the node is gone.
func TestPrometheusWatchesANode(t *testing.T) {
	binaryOnly(t)
	prometheus, err := exec.LookPath("prometheus")
	leftOut(t, err != nil, "there is no prometheus on this machine to run on deploy/monitoring (apt-get install prometheus); its rules are read by another test")
	s := fresh(t, Options{})
	listen, _, err := freePorts()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, edits := range map[string][]string{
		"alerts.yml": {`(?m)^(\s+for:) \w+$`, "$1 0s"},
		"prometheus.yml": {
			`\["writ-1:8081", "writ-2:8081"\]`, `["` + strings.TrimPrefix(s.Admin, "http://") + `"]`, `: 15s`, ": 1s", `/etc/prometheus/`, dir + "/",
		},
	} {
		text, err := os.ReadFile(filepath.Join("../deploy/monitoring", name))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(edits); i += 2 {
			edited := regexp.MustCompile(edits[i]).ReplaceAll(text, []byte(edits[i+1]))
			if string(edited) == string(text) {
				t.Fatalf("%s has no %s", name, edits[i])
			}
			text = edited
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run, err := startProcess(exec.Command(prometheus, "--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+listen), filepath.Join(dir, "out"), filepath.Join(dir, "err"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = run.kill() // it may have ended
		<-run.done()
	})
	// ask asks Prometheus' own API for the data of an answer.
	ask := func(path string, into any) error {
		answer := struct {
			Status, Error string
			Data          any
		}{Data: into}
		reply, err := client.Get("http://" + listen + path)
		if err != nil {
			return err
		}
		defer reply.Body.Close()
		if err := json.NewDecoder(reply.Body).Decode(&answer); err != nil || answer.Status != "success" {
			return fmt.Errorf("%s: %d %s: %w", path, reply.StatusCode, answer.Error, err)
		}
		return nil
	}
	until := func(what string, holds func() error) {
		t.Helper()
		var last error
		for began := time.Now(); time.Since(began) < readyWithin; time.Sleep(pollEvery) {
			if last = holds(); last == nil {
				return
			}
		}
		text, _ := os.ReadFile(filepath.Join(dir, "err"))
		t.Fatalf("%s: %v\n%s", what, last, tail(string(text)))
	}
	var targets struct {
		ActiveTargets []struct{ Health, LastError string }
	}
	until("Prometheus scrapes the node", func() error {
		err := ask("/api/v1/targets", &targets)
		if err == nil && (len(targets.ActiveTargets) != 1 || targets.ActiveTargets[0].Health != "up") {
			err = fmt.Errorf("%+v", targets.ActiveTargets)
		}
		return err
	})

	c := story(t, s).root()
	made, front := c.newApp(object{}), c.front()
	u := c.newUser(nil)
	owner := bearer(c.login(front, c.newUser(object{"roles": list{"system:owner"}})))
	c.as(owner).post("/v1/applications/"+made.ID+"/secrets/"+made.SecretID+"/reveal", object{"reason": "to be counted"}).wantStatus(200)
	c.root().decides(question("user", u.ID, "read", "ledger", "1"), false)
	for range 8 { // until the guesses are told to wait
		c.as("").ask(front, "grant_type", "password", "username", u.Username, "password", unique("a wrong one"))
	}
	c.done()
	var rules struct {
		Groups []struct {
			Rules []struct{ Name, Health, LastError string }
		}
	}
	until("the alerts are worked out", func() error {
		if err := ask("/api/v1/rules", &rules); err != nil {
			return err
		}
		if len(rules.Groups) != 1 || len(rules.Groups[0].Rules) == 0 {
			return fmt.Errorf("%+v, want one group with all alerts", rules.Groups)
		}
		for _, rule := range rules.Groups[0].Rules {
			if rule.Health != "ok" {
				return fmt.Errorf("%s is %s: %s", rule.Name, rule.Health, rule.LastError)
			}
		}
		return nil
	})

	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	text, err := os.ReadFile("../deploy/monitoring/grafana/dashboards/writ.json")
	if err == nil {
		err = json.Unmarshal(text, &dashboard)
	}
	if err != nil {
		t.Fatal(err)
	}
	queries := 0
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			queries++
			query := strings.NewReplacer("$__rate_interval", "1m", "$instance", ".*").Replace(target.Expr)
			until(panel.Title+": "+query, func() error {
				var found struct{ Result []any }
				if err := ask("/api/v1/query?query="+url.QueryEscape(query), &found); err != nil {
					return err
				}
				if len(found.Result) == 0 {
					return errors.New("nothing to show")
				}
				return nil
			})
		}
	}

	if queries == 0 {
		t.Error("the dashboard asks nothing")
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	var alerts struct {
		Alerts []struct {
			Labels      map[string]string
			Annotations map[string]string
			State       string
		}
	}
	until("the node that is gone is told", func() error {
		if err := ask("/api/v1/alerts", &alerts); err != nil {
			return err
		}
		for _, alert := range alerts.Alerts {
			if alert.Labels["alertname"] == "WritNodeIsAway" && alert.State == "firing" && strings.Contains(alert.Annotations["summary"], "does not answer") {
				return nil
			}
		}
		return fmt.Errorf("%+v", alerts.Alerts)
	})
	t.Logf("%d alerts and %d queries of the dashboard were worked out by %s", len(rules.Groups[0].Rules), queries, prometheus)
}

// TestThePodIsConfiguredWithWhatWritKnows: the variables of the manifest are Writ's, and a pod is not killed before it has ended.
func TestThePodIsConfiguredWithWhatWritKnows(t *testing.T) {
	binaryOnly(t)
	body, err := os.ReadFile("../deploy/kubernetes/writ.yaml")
	if err != nil {
		t.Fatal(err)
	}
	known, named := configKeys(t), 0
	for _, found := range regexp.MustCompile(`WRIT_([A-Z_]+)`).FindAllStringSubmatch(string(body), -1) {
		named++
		if key := strings.ToLower(found[1]); !known[key] && !known[strings.TrimSuffix(key, "_file")] {
			t.Errorf("WRIT_%s is no variable of Writ", found[1])
		}
	}
	if named == 0 {
		t.Error("no variables")
	}
	delay := regexp.MustCompile(`WRIT_SHUTDOWN_DELAY, value: (\w+)`).FindStringSubmatch(string(body))
	grace := regexp.MustCompile(`terminationGracePeriodSeconds: (\d+)`).FindStringSubmatch(string(body))
	if delay == nil || grace == nil {
		t.Fatal("the pod has no delay or no grace")
	}
	waits, err := time.ParseDuration(delay[1])
	if err != nil {
		t.Fatal(err)
	}
	if killed, err := time.ParseDuration(grace[1] + "s"); err != nil || killed <= waits+endsWithin {
		t.Errorf("the pod is killed %s after SIGTERM, waits %s and may take %s to end (%v)", killed, waits, endsWithin, err)
	}
}

// configKeys are the configuration keys that the binary knows.
func configKeys(t *testing.T) map[string]bool {
	t.Helper()
	out := suite.runner.Command(t.Context(), Options{}, "config", "show", "--output", "json")
	var shown []struct{ Key string }
	if err := json.Unmarshal([]byte(out.Stdout), &shown); err != nil || len(shown) == 0 {
		t.Fatalf("writ config show: %v\n%s%s", err, out.Stdout, out.Stderr)
	}
	keys := map[string]bool{}
	for _, option := range shown {
		keys[option.Key] = true
	}
	return keys
}

// TestTheOperationsGuideRuns runs the commands of docs/operations.md: the secrets, and two nodes on one database.
func TestTheOperationsGuideRuns(t *testing.T) {
	onMongoDB(t)
	leftOut(t, suite.runner.Name() != "process", "its commands run the binary on this machine: E2E_RUNNER=process runs it")
	for _, needed := range []string{"openssl"} {
		_, err := exec.LookPath(needed)
		leftOut(t, err != nil, "there is no "+needed+" on this machine to run the commands of docs/operations.md")
	}
	text, blocks := guide(t, "docs/operations.md")
	script := strings.Join(blocks, "\n")
	uri := regexp.MustCompile(`mongodb://[^\s'"]*replicaSet=rs0`)
	for _, address := range []string{"127.0.0.1:8080", "127.0.0.1:8081", "127.0.0.1:8082", "127.0.0.1:8083"} {
		free, _, err := freePorts()
		if err != nil {
			t.Fatal(err)
		}
		script = strings.ReplaceAll(script, address, free)
	}
	own := newCluster(suite.db)
	script = strings.Replace(script, uri.FindString(text), own.db.local(own.name), 1)
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(script, "--recipient age1... ") || !strings.Contains(script, "backup-key.txt") {
		t.Error("the guide makes no backup")
	}
	script = "echo '" + identity.String() + "' >backup-key.txt\n" + strings.Replace(script, "age1...", identity.Recipient().String(), 1)
	out := runScript(t, script)
	if strings.Count(out, `"status":"ready"`) != 2 || !strings.Contains(out, `"username":"root"`) && !strings.Contains(out, `"root"`) {
		t.Errorf("the nodes are not ready, or one does not know the token of the other:\n%s", out)
	}
	for _, secret := range []string{"mongo_root_password", "kek"} {
		if !strings.Contains(script, secret) {
			t.Errorf("the guide does not make %s", secret)
		}
	}
	if _, err := os.Stat(filepath.FromSlash("../deploy/mongo-init.js")); err != nil {
		t.Error(err)
	}
}
