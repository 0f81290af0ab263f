package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/knadh/koanf/v2"
	"go.yaml.in/yaml/v3"
)

// defaultFile is read if it is there and no other file is named.
const defaultFile = "writ.yaml"

// sources is where a configuration comes from.
type sources struct {
	env   []string
	file  string            // of --config; empty: WRIT_CONFIG, then ./writ.yaml if present
	flags map[string]string // option key -> text, of the flags that were given
	base  map[string]string // defaults of a command that differ from the server's, with the command as origin
	name  string            // of that command
}

// setting is one value with its origin, for `writ config show`.
type setting struct {
	Key    string `json:"key" yaml:"key"`
	Value  string `json:"value" yaml:"value"`
	Origin string `json:"origin" yaml:"origin"`
}

// configError collects what is wrong with a configuration; each line says what to do.
type configError []string

func (e configError) Error() string {
	if len(e) == 1 {
		return e[0]
	}
	return fmt.Sprintf("%s (and %d more: run `writ config validate`)", e[0], len(e)-1)
}

// layer is one source of values. It is a koanf.Provider.
type layer struct {
	values  map[string]string
	origins map[string]string
}

func newLayer() layer { return layer{values: map[string]string{}, origins: map[string]string{}} }

func (l layer) put(key, value, origin string) { l.values[key], l.origins[key] = value, origin }

// ReadBytes implements koanf.Provider.
func (l layer) ReadBytes() ([]byte, error) { return nil, errors.New("a layer holds parsed values") }

// Read implements koanf.Provider.
func (l layer) Read() (map[string]any, error) {
	values := make(map[string]any, len(l.values))
	for key, value := range l.values {
		values[key] = value
	}
	return values, nil
}

// loadConfig merges defaults, file, environment and flags, in rising order, and validates the outcome. The settings are
// complete even where an error is returned, so that they can be shown beside it.
func loadConfig(src sources) (*Config, []setting, error) {
	config := defaults()
	config.credentials = lookup(src.env, "CREDENTIALS_DIRECTORY")
	rows := options(&config)
	problems := configError{}
	base, file, environment, flags := newLayer(), newLayer(), newLayer(), newLayer()
	for _, row := range rows {
		base.put(row.key, row.text(), "default")
	}
	for key, value := range src.base {
		base.put(key, value, src.name)
	}
	path := readEnv(src.env, rows, environment, &problems)
	switch {
	case src.file != "":
		path = src.file
	case path == "":
		if _, err := os.Stat(defaultFile); err == nil {
			path = defaultFile
		}
	}
	if path != "" {
		readFile(path, rows, file, &problems)
	}
	for key, value := range src.flags {
		flags.put(key, value, "flag --"+strings.ReplaceAll(key, "_", "-"))
	}

	merged := koanf.New(".")
	origins := map[string]string{}
	for _, l := range []layer{base, file, environment, flags} {
		if err := merged.Load(l, nil); err != nil {
			return nil, nil, fmt.Errorf("merge configuration: %w", err)
		}
		for key, origin := range l.origins {
			origins[key] = origin
		}
	}
	for _, row := range rows {
		if err := row.set(merged.String(row.key)); err != nil {
			problems = append(problems, fmt.Sprintf("%s (%s): %s", row.key, origins[row.key], err))
		}
	}
	if len(problems) == 0 {
		config.derive(origins)
		problems = config.validate(origins)
	}
	settings := make([]setting, len(rows))
	for i, row := range rows {
		settings[i] = setting{Key: row.key, Value: row.text(), Origin: origins[row.key]}
		if row.secret && settings[i].Value != "" {
			settings[i].Value = "(hidden)"
		}
	}
	if len(problems) > 0 {
		return &config, settings, problems
	}
	return &config, settings, nil
}

// lookup returns an environment variable; of several the last counts.
func lookup(env []string, name string) string {
	for _, entry := range slices.Backward(env) {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	return ""
}

// readEnv reads the WRIT_* variables into the layer and returns WRIT_CONFIG. An empty variable counts as unset, as compose
// files and charts pass them.
func readEnv(env []string, rows []option, into layer, problems *configError) (file string) {
	// Kubernetes puts WRIT_SERVICE_HOST, WRIT_PORT_8080_TCP_ADDR and the like into every pod beside a Service named writ.
	foreign := regexp.MustCompile(
		`^WRIT(_[A-Z0-9]+)*_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_[A-Z]+)?)?)$`)
	variables := map[string]option{}
	names := []string{"WRIT_CONFIG"}
	for _, row := range rows {
		variables[row.env()] = row
		names = append(names, row.env())
		if row.secret {
			names = append(names, row.env()+"_FILE")
		}
	}
	for _, entry := range slices.Sorted(slices.Values(env)) {
		name, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, "WRIT_") || value == "" {
			continue
		}
		if row, ok := variables[name]; ok {
			if _, twice := into.values[row.key]; twice {
				*problems = append(*problems, fmt.Sprintf("%s and %s_FILE are both set; unset one", row.env(), row.env()))
			}
			into.put(row.key, value, "env "+name)
			continue
		}
		if row, ok := variables[strings.TrimSuffix(name, "_FILE")]; ok && row.secret {
			if _, twice := into.values[row.key]; twice {
				*problems = append(*problems, fmt.Sprintf("%s and %s are both set; unset one", row.env(), name))
			}
			secret, err := readSecret(value)
			if err != nil {
				*problems = append(*problems, fmt.Sprintf("%s: %s", name, err))
			}
			into.put(row.key, secret, "env "+name)
			continue
		}
		switch {
		case name == "WRIT_CONFIG":
			file = value
		case slices.Contains(clientVariables(), name), strings.HasPrefix(name, "WRIT_TEST_"), foreign.MatchString(name):
			// Of the client commands, of the test harness, or of Kubernetes: nothing to configure here.
		default:
			*problems = append(*problems, fmt.Sprintf("unknown variable %s; the nearest is %s", name, nearest(name, names)))
		}
	}
	return file
}

// readSecret reads a secret from a file, without the line end that editors add.
func readSecret(path string) (string, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("cannot read the secret: %w; name a file that this user can read", plain(err))
	}
	return strings.TrimRight(string(content), "\r\n"), nil
}

// readFile reads a configuration file into the layer. A key may be nested at its underscores: `decision_log: {required: true}` is
// `decision_log_required: true`.
func readFile(path string, rows []option, into layer, problems *configError) {
	content, err := os.ReadFile(path)
	if err != nil {
		*problems = append(*problems, fmt.Sprintf("cannot read the configuration file: %s; name another with --config", err))
		return
	}
	var document yaml.Node
	if err := yaml.Unmarshal(content, &document); err != nil {
		*problems = append(*problems, fmt.Sprintf("%s is not YAML: %s", path, strings.TrimPrefix(err.Error(), "yaml: ")))
		return
	}
	if len(document.Content) == 0 {
		return // an empty file says nothing
	}
	if document.Content[0].Kind != yaml.MappingNode {
		*problems = append(*problems, fmt.Sprintf("%s:1: is not a list of `key: value` lines", path))
		return
	}
	var known, lists []string
	for _, row := range rows {
		known = append(known, row.key)
		if row.list() {
			lists = append(lists, row.key)
		}
	}
	flatten(path, "", document.Content[0], func(key string, value *yaml.Node) {
		origin := fmt.Sprintf("file %s:%d", path, value.Line)
		switch {
		case !slices.Contains(known, key):
			*problems = append(*problems,
				fmt.Sprintf("%s:%d: unknown key %q; the nearest is %q", path, value.Line, key, nearest(key, known)))
		case slices.Contains(lists, key) && value.Kind == yaml.SequenceNode && into.origins[key] == "":
			into.put(key, jsonOf(value), origin)
		case value.Kind != yaml.ScalarNode:
			*problems = append(*problems, fmt.Sprintf("%s:%d: %s must be a single value", path, value.Line, key))
		case into.origins[key] != "":
			*problems = append(*problems, fmt.Sprintf("%s:%d: %s is set twice; remove one", path, value.Line, key))
		case value.Tag == "!!null":
			// `issuer:` with nothing behind it keeps the default.
		default:
			into.put(key, value.Value, origin)
		}
	})
}

// jsonOf writes a YAML list as JSON. One that JSON cannot say is no list that is wanted: the key says what is.
func jsonOf(list *yaml.Node) string {
	var value any
	if err := list.Decode(&value); err != nil {
		return err.Error()
	}
	text, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// flatten calls found for each leaf of a tree of mappings, with the keys on the way joined by underscores.
func flatten(path, prefix string, node *yaml.Node, found func(key string, value *yaml.Node)) {
	if node.Kind != yaml.MappingNode {
		found(prefix, node)
		return
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := node.Content[i].Value
		switch {
		case prefix == "":
		case key == "":
			key = prefix
		default:
			key = prefix + "_" + key
		}
		flatten(path, key, node.Content[i+1], found)
	}
}

// nearest returns the candidate with the least edit distance to name.
func nearest(name string, candidates []string) string {
	best, least := "", -1
	for _, candidate := range candidates {
		if d := distance(name, candidate); least < 0 || d < least {
			best, least = candidate, d
		}
	}
	return best
}

// distance is the Levenshtein distance of two ASCII names.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}

// plain takes the operation and the path off a file error, for messages that name them already.
func plain(err error) error {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return fmt.Errorf("%s: %w", pathError.Path, pathError.Err)
	}
	return err
}
