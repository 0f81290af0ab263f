package policies

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/open-policy-agent/opa/v1/ast"
	"go.yaml.in/yaml/v3"
)

// Limits of a set. They bound what a mistake (a mount of the wrong directory) can cost.
const (
	maxFiles     = 4000
	maxDepth     = 10
	maxRegoBytes = 1 << 20
	maxDataBytes = 32 << 20
	maxSetBytes  = 128 << 20
	maxYAMLNodes = 4 << 20
	maxYAMLDepth = 64
)

// A problemError is a set that cannot be loaded, with where and why.
type problemError struct{ problems []Problem }

func (e *problemError) Error() string {
	first := e.problems[0].String()
	if more := len(e.problems) - 1; more > 0 {
		return fmt.Sprintf("%s (and %d more)", first, more)
	}
	return first
}

func refused(file, rule, format string, args ...any) error {
	return &problemError{[]Problem{{File: file, Rule: rule, Message: fmt.Sprintf(format, args...)}}}
}

// file is one file of a source: Path is relative to the root of the set and names it in revisions, name is for people.
type file struct {
	path string
	name string
	body []byte
}

// module is a file of rules or tests.
type module struct {
	file
	parsed *ast.Module
	test   bool
	core   bool // below writ/
	dir    bool // from Config.Dir, not shipped
	sha    string
	refs   []string // see uses
}

func (m *module) pkg() string { return packageName(m.parsed) }

func packageName(m *ast.Module) string {
	parts := make([]string, 0, len(m.Package.Path))
	for _, term := range m.Package.Path[1:] {
		if s, ok := term.Value.(ast.String); ok {
			parts = append(parts, string(s))
		}
	}
	return strings.Join(parts, ".")
}

// set is a loaded, not yet compiled policy set.
type set struct {
	source    string
	modules   []*module // in order of their paths
	schemas   map[string]any
	catalogue *Catalogue
	settings  map[string]any
	apps      map[string]map[string]any // the folder's name, its data
	golden    []file                    // decisions/*.yaml of Config.Dir
	// untested says that the tests of the shipped examples were left out, because they call on those of the shipped core.
	untested bool
	data     map[string]any // the whole data document
	revision string
	dataRev  string
	// coreData is a hash over the core's own catalogue and settings, before a directory adds to them.
	coreData string
	// content is a hash over every byte that was read, tests included: equal content needs no reload.
	content string
	parts   Parts
	// typed says that the types of the rules need no check: this is the shipped set, whose rules were checked when this was built.
	typed bool
	// proven says that all tests were run.
	proven bool
}

// layers are the file trees that a set is made of.
type layers struct {
	shipped fs.FS
	core    fs.FS // nil: shipped
	dir     fs.FS // nil: none
	coreDir string
	dirDir  string
	// bundle, if not nil, stands in the place of both directories.
	bundle *Bundle
}

func newLayers(shipped fs.FS, source Source) (layers, error) {
	l := layers{shipped: shipped, coreDir: source.CoreDir, dirDir: source.Dir}
	for _, d := range []struct {
		name string
		to   *fs.FS
	}{{source.CoreDir, &l.core}, {source.Dir, &l.dir}} {
		if d.name == "" {
			continue
		}
		info, err := os.Stat(d.name)
		if err != nil {
			return layers{}, fmt.Errorf("policy directory: %w", err)
		}
		if !info.IsDir() {
			return layers{}, fmt.Errorf("policy directory: %s is not a directory", d.name)
		}
		*d.to = os.DirFS(d.name)
	}
	return l, nil
}

func (l layers) source() string {
	switch {
	case l.bundle != nil:
		return sourceManaged
	case l.core != nil && l.dir != nil:
		return "directory and core directory"
	case l.core != nil:
		return "core directory"
	case l.dir != nil:
		return "directory"
	}
	return "embedded"
}

// load reads and parses all layers into one set. It reports every file that does not parse. Tests are left out unless they
// are wanted; what old has parsed already is not parsed again.
func load(l layers, tests bool, old *set) (*set, error) {
	s := &set{source: l.source(), schemas: map[string]any{}, apps: map[string]map[string]any{}, catalogue: newCatalogue()}
	shipped, err := readTree(l.shipped, "policies/rego")
	if err != nil {
		return nil, err
	}
	core := keep(shipped, "writ/", "schemas/", "catalogue/", "settings/")
	examples := keep(shipped, "apps/")
	ownCore, dir, err := l.own()
	if err != nil {
		return nil, err
	}
	s.parts = partsOf(ownCore, dir)
	if len(ownCore) > 0 {
		if core, err = replaceCore(l.coreDir, ownCore, core); err != nil {
			return nil, err
		}
		s.untested = true
		examples = slices.DeleteFunc(examples, func(f file) bool { return strings.HasSuffix(f.path, "_test.rego") })
	}
	if err := checkLayout(dir, "apps/", "catalogue/", "settings/", "decisions/", maskFolder); err != nil {
		return nil, err
	}
	examples = slices.DeleteFunc(examples, func(f file) bool { return replaced(f.path, dir) })
	s.content = contentHash(core, examples, dir)
	parsed, read := s.addModules([][]file{core, examples, dir}, tests, old), s.addData(core, examples, dir)
	if problems := append(Problems(parsed), Problems(read)...); len(problems) > 0 {
		return nil, &problemError{problems}
	}
	if err := errors.Join(parsed, read); err != nil {
		return nil, err
	}
	s.revise()
	return s, nil
}

// own reads what is not shipped: the files that replace the core, and those beside it.
func (l layers) own() (core, dir []file, err error) {
	if l.bundle != nil {
		return l.bundle.core(), l.bundle.directory(), nil
	}
	if l.core != nil {
		if core, err = readTree(l.core, l.coreDir); err != nil {
			return nil, nil, err
		}
		if len(core) == 0 {
			return nil, nil, coreless(l.coreDir)
		}
	}
	if l.dir != nil {
		if dir, err = readTree(l.dir, l.dirDir); err != nil {
			return nil, nil, err
		}
	}
	return core, dir, nil
}

func coreless(name string) error {
	return refused(name, "layout", "a core directory needs writ/; writ policy eject writes the shipped one")
}

// replaceCore holds the files that replace the shipped core to what a core needs. What they do not bring of catalogue, settings and
// schemas is shipped.
func replaceCore(name string, core, shipped []file) ([]file, error) {
	if err := checkLayout(core, "writ/", "schemas/", "catalogue/", "settings/"); err != nil {
		return nil, err
	}
	if len(keep(core, "writ/")) == 0 {
		return nil, coreless(name)
	}
	for _, part := range []string{"schemas/", "catalogue/", "settings/"} {
		if len(keep(core, part)) == 0 {
			core = append(core, keep(shipped, part)...)
		}
	}
	return core, nil
}

func keep(files []file, prefixes ...string) []file {
	var kept []file
	for _, f := range files {
		if slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(f.path, p) }) {
			kept = append(kept, f)
		}
	}
	return kept
}

// appFolder returns "apps/<type>/" of a path below it.
func appFolder(p string) string {
	parts := strings.SplitN(p, "/", 3)
	return path.Join(parts[:min(2, len(parts))]...) + "/"
}

// replaced reports whether a directory brings something in place of a file of a shipped example. A folder with rules replaces the
// example of the same name as a whole; one without replaces the data, the catalogue's part, or both.
func replaced(example string, dir []file) bool {
	brought := keep(dir, appFolder(example))
	return slices.ContainsFunc(brought, func(f file) bool {
		return path.Ext(f.path) == ".rego" || stem(f.path) == stem(example) && path.Ext(example) != ".rego"
	})
}

func stem(p string) string { return strings.TrimSuffix(p, path.Ext(p)) }

// checkLayout refuses policy and data files outside the folders that are read, because they would silently have no effect.
func checkLayout(files []file, folders ...string) error {
	for _, f := range files {
		if len(keep([]file{f}, folders...)) > 0 || f.path == acceptedFile {
			continue
		}
		switch ext := path.Ext(f.path); {
		case strings.HasPrefix(f.path, "writ/"):
			return refused(f.name, "layout", "the core is replaced only by a core directory (--policies-core)")
		case ext == ".rego" || ext == ".yaml" || ext == ".yml" || ext == ".json":
			return refused(f.name, "layout", "not below %s, so it would have no effect", strings.Join(folders, ", "))
		}
	}
	return nil
}

// readTree reads the files of a tree in order of their paths. Symbolic links are followed, because a mounted ConfigMap is
// made of them; names that begin with a dot are left out, because they are its generations.
func readTree(tree fs.FS, root string) ([]file, error) {
	r := treeReader{tree: tree, root: root}
	if err := r.read(".", 0); err != nil {
		return nil, err
	}
	return r.files, nil
}

type treeReader struct {
	tree  fs.FS
	root  string
	files []file
	bytes int
}

func (r *treeReader) read(dir string, depth int) error {
	if depth > maxDepth {
		return refused(r.name(dir), "layout", "more than %d folders deep", maxDepth)
	}
	entries, err := fs.ReadDir(r.tree, dir)
	if err != nil {
		return fmt.Errorf("policy directory: %w", err)
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		p := path.Join(dir, entry.Name())
		info, err := fs.Stat(r.tree, p)
		switch {
		case err != nil:
			return fmt.Errorf("policy directory: %w", err)
		case info.IsDir():
			err = r.read(p, depth+1)
		case info.Mode().IsRegular() && slices.Contains([]string{".rego", ".yaml", ".yml", ".json"}, path.Ext(p)):
			err = r.add(p)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *treeReader) add(p string) error {
	limit := maxDataBytes
	if path.Ext(p) == ".rego" {
		limit = maxRegoBytes
	}
	f, err := r.tree.Open(p)
	if err != nil {
		return fmt.Errorf("policy directory: %w", err)
	}
	body, err := io.ReadAll(io.LimitReader(f, int64(limit)+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("policy directory: %w", err)
	}
	r.bytes += len(body)
	switch {
	case len(body) > limit:
		return refused(r.name(p), "layout", "larger than %d bytes", limit)
	case r.bytes > maxSetBytes:
		return refused(r.name(p), "layout", "the directory holds more than %d bytes", maxSetBytes)
	case len(r.files) == maxFiles:
		return refused(r.name(p), "layout", "the directory holds more than %d files", maxFiles)
	}
	r.files = append(r.files, file{path: p, name: r.name(p), body: body})
	return nil
}

func (r *treeReader) name(p string) string { return filepath.Join(r.root, filepath.FromSlash(p)) }

func contentHash(groups ...[]file) string {
	h := sha256.New()
	for _, files := range groups {
		for _, f := range files {
			fmt.Fprintf(h, "%q %d\n", f.path, len(f.body))
			h.Write(f.body)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

func parserOptions() ast.ParserOptions {
	return ast.ParserOptions{ProcessAnnotation: true, RegoVersion: ast.RegoV1, Capabilities: capabilities()}
}

// addModules parses the files of rules, those of the directory last.
func (s *set) addModules(groups [][]file, tests bool, old *set) error {
	known := map[string]*module{}
	if old != nil {
		for _, m := range old.modules {
			known[m.name+m.sha] = m
		}
	}
	for i, files := range groups {
		for _, f := range files {
			test := strings.HasSuffix(f.path, "_test.rego")
			if path.Ext(f.path) != ".rego" || test && !tests {
				continue
			}
			m := &module{file: f, test: test, core: strings.HasPrefix(f.path, "writ/"), dir: i == len(groups)-1, sha: hash(f.body)}
			if k := known[m.name+m.sha]; k != nil && k.dir == m.dir {
				m = k
			}
			s.modules = append(s.modules, m)
		}
	}
	slices.SortFunc(s.modules, func(a, b *module) int { return strings.Compare(a.path, b.path) })
	options := parserOptions()
	problems := make([][]Problem, len(s.modules))
	var all sync.WaitGroup
	for i, m := range s.modules {
		if m.parsed == nil {
			all.Go(func() { problems[i] = m.parse(options) })
		}
	}
	all.Wait()
	if found := slices.Concat(problems...); len(found) > 0 {
		return &problemError{found}
	}
	return nil
}

func (m *module) parse(options ast.ParserOptions) []Problem {
	parsed, err := ast.ParseModuleWithOpts(m.name, string(m.body), options)
	if err != nil {
		return astProblems(m.name, "parse", err)
	}
	m.parsed = parsed
	if problem := m.misplaced(); problem != "" {
		return []Problem{{File: m.name, Line: 1, Column: 1, Rule: "package", Message: problem}}
	}
	return nil
}

// misplaced says what is wrong with a module's package, or nothing: package and folder are the same, tests add "_test".
func (m *module) misplaced() string {
	want := strings.ReplaceAll(path.Dir(m.path), "/", ".")
	switch got := m.pkg(); {
	case m.test && got != want+"_test":
		return fmt.Sprintf("package is %s, but tests of this folder are package %s_test", got, want)
	case !m.test && got != want:
		return fmt.Sprintf("package is %s, but the folder is %s", got, want)
	}
	return ""
}

// addData reads catalogue, settings, schemas and the applications' data.
func (s *set) addData(core, examples, dir []file) error {
	for _, f := range keep(core, "catalogue/") {
		if err := s.addCatalogue(f, ""); err != nil {
			return err
		}
	}
	coreCatalogue := s.catalogue.data()
	reserved, own := maps.Clone(s.catalogue.closed), make(map[string]bool, len(s.catalogue.index))
	reserved["writ"] = true
	for name := range s.catalogue.index {
		own[name] = true
	}
	for _, f := range keep(core, "schemas/") {
		schema, err := decodeObject(f)
		if err != nil {
			return err
		}
		s.schemas[strings.TrimSuffix(strings.TrimPrefix(f.path, "schemas/"), path.Ext(f.path))] = schema
	}
	for _, f := range append(slices.Clone(examples), keep(dir, "apps/")...) {
		if err := s.addApp(f, reserved); err != nil {
			return err
		}
	}
	for _, f := range keep(dir, "catalogue/") {
		if err := s.addCatalogue(f, ""); err != nil {
			return err
		}
		for name := range s.catalogue.index {
			if !own[name] && reserved[firstSegment(name)] {
				return refused(f.name, "catalogue", "type %q is below a segment that is Writ's own", name)
			}
		}
	}
	s.golden = keep(dir, "decisions/")
	if err := s.addSettings(keep(core, "settings/"), nil); err != nil {
		return err
	}
	s.coreData = hashJSON(map[string]any{"catalogue": coreCatalogue, "settings": s.settings})
	return s.addSettings(nil, keep(dir, "settings/"))
}

func (s *set) addCatalogue(f file, owner string) error {
	if base := path.Base(f.path); owner == "" && base != "data.yaml" {
		return refused(f.name, "layout", "the catalogue is catalogue/data.yaml")
	}
	var part cataloguePart
	decoder := yaml.NewDecoder(bytes.NewReader(f.body))
	decoder.KnownFields(true)
	if err := decoder.Decode(&part); err != nil && !errors.Is(err, io.EOF) {
		return refused(f.name, "catalogue", "%v", err)
	}
	if err := s.catalogue.merge(&part, owner); err != nil {
		return refused(f.name, "catalogue", "%v", err)
	}
	return nil
}

// addApp takes one file of apps/<type>/ . Rules were taken as modules; data.yaml and catalogue.yaml are read here.
func (s *set) addApp(f file, reserved map[string]bool) error {
	parts := strings.Split(f.path, "/")
	if len(parts) < 3 {
		return refused(f.name, "layout", "an application's files stand in a folder apps/<type>/")
	}
	name := parts[1]
	switch {
	case reserved[name]:
		return refused(f.name, "layout", "apps/%s is Writ's own", name)
	case !validSegment(name):
		return refused(f.name, "layout", "apps/%s: the name is no segment of a resource", name)
	}
	if s.apps[name] == nil {
		s.apps[name] = map[string]any{}
	}
	switch base := parts[len(parts)-1]; {
	case path.Ext(base) == ".rego":
	case len(parts) == 3 && base == "catalogue.yaml":
		return s.addCatalogue(f, name)
	case len(parts) == 3 && (base == "data.yaml" || base == "data.json"):
		object, err := decodeObject(f)
		if err != nil {
			return err
		}
		if len(s.apps[name]) > 0 {
			return refused(f.name, "layout", "an application has one data file")
		}
		s.apps[name] = object
	default:
		return refused(f.name, "layout", "an application folder holds rules, data.yaml and catalogue.yaml")
	}
	return nil
}

// addSettings lays the settings of the directory over the core's.
func (s *set) addSettings(core, dir []file) error {
	if s.settings == nil {
		s.settings = map[string]any{}
	}
	for i, files := range [][]file{core, dir} {
		for _, f := range files {
			if path.Base(f.path) != "data.yaml" {
				return refused(f.name, "layout", "the settings are settings/data.yaml")
			}
			object, err := decodeObject(f)
			if err != nil {
				return err
			}
			if i == 0 {
				s.settings = object
				continue
			}
			if err := overlayAll(s.settings, object); err != nil {
				return refused(f.name, "settings", "%v", err)
			}
		}
	}
	if block, ok := s.settings["catalogue"].(map[string]any); ok {
		s.catalogue.allClosed, _ = block["closed"].(bool)
	}
	return nil
}

// byDialect is the setting that holds, by the names of the dialects, what differs for their requests.
const byDialect = "dialects"

// overlayAll lays settings over the core's. Below the name of a dialect every general setting may stand, too.
func overlayAll(base, over map[string]any) error {
	named, hasDialects := over[byDialect].(map[string]any)
	if hasDialects {
		known, _ := base[byDialect].(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(named)) {
			own, ok := known[name].(map[string]any)
			given, isObject := named[name].(map[string]any)
			at := byDialect + "." + name
			switch {
			case !ok:
				return fmt.Errorf("unknown setting %s%s", at, nearest(name, slices.Sorted(maps.Keys(known))))
			case !isObject:
				return fmt.Errorf("setting %s is of another kind", at)
			}
			if err := overlayOne(own, given, base); err != nil {
				return fmt.Errorf("%w (of the dialect %s)", err, name)
			}
		}
		over = maps.Clone(over)
		delete(over, byDialect)
	}
	return overlay(base, over, "")
}

// overlayOne lays over a dialect's own settings what is given for it: its own ones, and general ones, which are then settings of its own.
func overlayOne(own, given, general map[string]any) error {
	for _, key := range slices.Sorted(maps.Keys(given)) {
		if _, known := own[key]; known && general[key] == nil {
			// The usual case of a token knows the applications of dialects by their names (writ/token/result.rego).
			if id, text := given[key].(string); text && key == "application" && !strings.HasPrefix(id, "dialect-") {
				return fmt.Errorf("setting %s begins with dialect-", key)
			}
			if err := overlay(own, map[string]any{key: given[key]}, ""); err != nil {
				return err
			}
			continue
		}
		if key == byDialect {
			return fmt.Errorf("unknown setting %s", key)
		}
		// What is given must be good as a general setting; it is then laid over what the dialect has.
		if err := overlay(cloneTree(general), map[string]any{key: given[key]}, ""); err != nil {
			return err
		}
		lay(own, key, given[key])
	}
	return nil
}

// lay puts a value into a tree, beside what is there.
func lay(into map[string]any, key string, value any) {
	inner, isObject := value.(map[string]any)
	if !isObject {
		into[key] = value
		return
	}
	branch, ok := into[key].(map[string]any)
	if !ok {
		branch = map[string]any{}
		into[key] = branch
	}
	for name, v := range inner {
		lay(branch, name, v)
	}
}

// overlay replaces what over names. A setting that base does not have is a mistake, except in a set of names ({name:
// true}), which is open; so is a setting of another kind.
func overlay(base, over map[string]any, at string) error {
	for _, key := range slices.Sorted(maps.Keys(over)) {
		name, value := strings.TrimPrefix(at+"."+key, "."), over[key]
		old, known := base[key]
		if !known && !isNameSet(base) {
			return fmt.Errorf("unknown setting %s%s", name, nearest(key, slices.Sorted(maps.Keys(base))))
		}
		if !known {
			if _, flag := value.(bool); !flag {
				return fmt.Errorf("setting %s is true or false", name)
			}
		} else if fmt.Sprintf("%T", old) != fmt.Sprintf("%T", value) {
			return fmt.Errorf("setting %s is of another kind", name)
		}
		if inner, ok := value.(map[string]any); ok {
			if err := overlay(old.(map[string]any), inner, name); err != nil {
				return err
			}
			continue
		}
		base[key] = value
	}
	return nil
}

func isNameSet(m map[string]any) bool {
	for _, v := range m {
		if v != true {
			return false
		}
	}
	return true
}

// nearest returns " (did you mean x?)" for the known name that differs least, if it is close.
func nearest(name string, known []string) string {
	best, distance := "", 3
	for _, k := range known {
		if d := editDistance(name, k); d < distance {
			best, distance = k, d
		}
	}
	if best == "" {
		return ""
	}
	return " (did you mean " + best + "?)"
}

func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j]+1, row[j+1]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

// revise computes the data document and both revisions. Tests do not take part: they decide nothing.
func (s *set) revise() {
	apps := make(map[string]any, len(s.apps))
	names := make(map[string]any, len(s.apps))
	for _, name := range s.ruledApps() {
		names[name] = true
	}
	for name, object := range s.apps {
		apps[name] = object
	}
	s.data = map[string]any{
		"catalogue": s.catalogue.data(), "settings": s.settings, "apps": apps,
		"writ": map[string]any{"server": map[string]any{"apps": names}},
	}
	rules := sha256.New()
	for _, m := range s.modules {
		if !m.test {
			fmt.Fprintf(rules, "%s %s\n", m.sha, m.path)
		}
	}
	s.revision = hex.EncodeToString(rules.Sum(nil))
	s.dataRev = hashJSON(s.data)
}

func hashJSON(document map[string]any) string {
	text, err := json.Marshal(document)
	if err != nil { // decodeObject yields nothing but JSON
		panic(err)
	}
	return hash(text)
}

// ruledApps names the applications that have rules, in order.
func (s *set) ruledApps() []string {
	names := map[string]bool{}
	for _, m := range s.modules {
		if parts := strings.Split(m.path, "/"); parts[0] == "apps" && !m.test {
			names[parts[1]] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

func hash(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// decodeObject decodes YAML or JSON strictly as the JSON data model: an object, keys once, numbers kept as they are written.
func decodeObject(f file) (map[string]any, error) {
	value, err := decodeYAML(f.body)
	if err != nil {
		return nil, refused(f.name, "data", "%v", err)
	}
	if value == nil {
		return map[string]any{}, nil
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil, refused(f.name, "data", "not an object at its top")
	}
	return object, nil
}

func decodeYAML(body []byte) (any, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(body))
	var document yaml.Node
	if err := decoder.Decode(&document); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		return nil, err
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one document")
	}
	y := yamlReader{budget: maxYAMLNodes}
	return y.value(&document)
}

// yamlReader bounds what aliases can blow up: how many values there are, and how deep they nest.
type yamlReader struct{ budget, depth int }

func (y *yamlReader) value(n *yaml.Node) (any, error) {
	y.depth++
	defer func() { y.depth-- }()
	if y.budget--; y.budget < 0 || y.depth > maxYAMLDepth {
		return nil, fmt.Errorf("more than %d values, or more than %d levels", maxYAMLNodes, maxYAMLDepth)
	}
	switch n.Kind {
	case yaml.DocumentNode:
		return y.value(n.Content[0])
	case yaml.AliasNode:
		return y.value(n.Alias)
	case yaml.SequenceNode:
		list := make([]any, 0, len(n.Content))
		for _, item := range n.Content {
			v, err := y.value(item)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		return list, nil
	case yaml.MappingNode:
		return y.mapping(n)
	}
	return yamlScalar(n)
}

func (y *yamlReader) mapping(n *yaml.Node) (any, error) {
	m := make(map[string]any, len(n.Content)/2)
	for i := 0; i < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind != yaml.ScalarNode || key.Tag == "!!merge" {
			return nil, fmt.Errorf("line %d: a key is a plain string", key.Line)
		}
		if _, twice := m[key.Value]; twice {
			return nil, fmt.Errorf("line %d: key %q stands twice", key.Line, key.Value)
		}
		v, err := y.value(n.Content[i+1])
		if err != nil {
			return nil, err
		}
		m[key.Value] = v
	}
	return m, nil
}

func yamlScalar(n *yaml.Node) (any, error) {
	switch n.ShortTag() {
	case "!!null":
		return nil, nil
	case "!!bool":
		var b bool
		err := n.Decode(&b)
		return b, err
	case "!!int":
		var i int64
		if err := n.Decode(&i); err != nil {
			return nil, fmt.Errorf("line %d: %w", n.Line, err)
		}
		return json.Number(fmt.Sprint(i)), nil
	case "!!float":
		var x float64
		if err := n.Decode(&x); err != nil {
			return nil, fmt.Errorf("line %d: %w", n.Line, err)
		}
		text, err := json.Marshal(x)
		if err != nil {
			return nil, fmt.Errorf("line %d: %q is no JSON number", n.Line, n.Value)
		}
		return json.Number(text), nil
	case "!!str", "!!timestamp":
		return n.Value, nil
	}
	return nil, fmt.Errorf("line %d: %s is not of the JSON data model", n.Line, n.Tag)
}
