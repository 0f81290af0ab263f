package main_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// requirement is a row of the OAuth and security requirements. Its id begins the name of what proves it: TestF07…, or a subtest or
// case "F07 …"; rows that one test proves are joined, as in TestT07AndF12….
type requirement struct{ id, what string }

// requirements are the rows that this version holds.
func requirements() []requirement {
	return []requirement{
		{"T01", "client_credentials with Basic"},
		{"T02", "id and secret are form-encoded in Basic"},
		{"T03", "the registered authentication method is enforced"},
		{"T04", "a secret in the query is none"},
		{"T05", "other methods than POST"},
		{"T06", "other media types than a form"},
		{"T07", "a parameter twice"},
		{"T08", "no grant_type"},
		{"T09", "an unknown grant_type"},
		{"T10", "unknown parameters, and an empty scope"},
		{"T11", "an unknown client"},
		{"T12", "a wrong secret looks and costs like an unknown client"},
		{"T13", "a confidential client without authentication"},
		{"T14", "two authentications in one request"},
		{"T15", "a malformed Authorization header"},
		{"T16", "a public client has no client_credentials"},
		{"T17", "a grant that the application does not list"},
		{"T18", "an application that may not act looks like a wrong secret"},
		{"T19", "secrets have windows"},
		{"T20", "a scope outside the registered ceiling"},
		{"T21", "named scopes are granted as far as held"},
		{"T22", "an omitted scope is all that is registered and held"},
		{"T23", "a scope that is none"},
		{"T24", "the database is down"},
		{"T25", "guessing at a secret is slowed down, right ones never"},
		{"T26", "parallel requests"},

		{"P01", "the right password"},
		{"P02", "wrong, unknown and suspended look and cost the same"},
		{"P03", "no username or no password"},
		{"P04", "guessing at a password is slowed down"},
		{"P05", "long passwords count whole"},
		{"P06", "an application without the password grant costs no hash"},
		{"P07", "ids of users and applications are disjoint"},

		{"R01", "refresh rotates"},
		{"R02", "a narrower scope"},
		{"R03", "a wider scope"},
		{"R04", "reuse ends the session"},
		{"R05", "a retry inside the grace gets the same successor"},
		{"R06", "another client's refresh token"},
		{"R07", "forged refresh tokens"},
		{"R08", "parallel refreshes give one successor"},
		{"R09", "refresh sees the rights of now"},
		{"R10", "sessions end"},

		{"J01", "the header of an access token"},
		{"J02", "its claims"},
		{"J03", "the subject of a machine's"},
		{"J04", "forged ones"},
		{"J05", "keys are rotated"},
		{"J06", "the published keys"},

		{"I01", "introspection of both formats"},
		{"I02", "dead tokens are inactive"},
		{"I03", "the caller authenticates"},
		{"I04", "no token"},
		{"I05", "a wrong hint loses nothing"},
		{"I06", "tokens of others"},
		{"I07", "refresh tokens"},
		{"I08", "signed replies (RFC 9701)"},
		{"I09", "what one node disables is inactive on another"},

		{"V01", "revoking the own token"},
		{"V02", "an unknown token or hint"},
		{"V03", "another application's token"},
		{"V04", "no token, or no client"},
		{"V05", "the database is down"},
		{"V06", "a public client's own token"},

		{"B01", "challenges of the admin API"},
		{"B02", "a bad token, and too little scope"},
		{"B03", "transports of a token"},

		{"M01", "metadata (RFC 8414)"},
		{"M02", "no empty list in it"},

		{"A01", "client assertions of each algorithm"},
		{"A02", "their audience is the issuer alone"},
		{"A03", "an assertion is used once"},
		{"A04", "assertions that are refused"},

		// What fosite v0.49.0 does otherwise, or not at all.
		{"F01", "an unknown grant is unsupported_grant_type"},
		{"F02", "a 401 carries a challenge"},
		{"F03", "no credentials are invalid_client"},
		{"F04", "a look-up of a client that fails is an outage"},
		{"F05", "two authentications are refused"},
		{"F06", "the registered method is enforced at every endpoint"},
		{"F07", "an empty secret matches nothing"},
		{"F08", "secrets are tried in one pass, with equal work for unknown ids"},
		{"F09", "client assertions: lifetime, audience first, one use per issuer"},
		{"F10", "the fetcher of keys"},
		{"F11", "multipart is refused before it is read"},
		{"F12", "a parameter twice is refused"},
		{"F13", "descriptions are ASCII"},
		{"F14", "a public client with client_credentials is unauthorized_client"},
		{"F15", "refresh honours scope"},
		{"F16", "a refresh token that is none is invalid_grant"},
		{"F17", "a revocation that failed is never acknowledged"},
		{"F18", "no token is invalid_request"},
		{"F19", "introspection: methods, codes, and a decision per caller"},
		{"F20", "introspection: the whole set of members, stable"},
		{"F21", "access tokens are RFC 9068's"},
		{"F22", "aud is an array"},
		{"F23", "typ is at+jwt"},
		{"F24", "a ring of keys of any kind"},
		{"F25", "audiences match exactly"},
		{"F26", "scopes match exactly"},
		{"F27", "every setting is made at start"},
		{"F28", "no slow hash for a secret that the server made"},
		{"F29", "keys have exactly 32 bytes"},
		{"F30", "the MAC or the seal is checked before anything is read"},

		{"ST1", "a parameter twice"},
		{"ST2", "two authentications"},
		{"ST3", "multipart and JSON at every endpoint"},
		{"ST4", "a list as grant_type"},
		{"ST5", "credentials in the URL"},
		{"ST6", "a token in the URL"},
		{"ST7", "the database breaks during a revocation"},
		{"ST8", "an assertion is replayed"},
		{"ST9", "parallel refreshes of one token"},
		{"ST10", "replay after a restart"},
		{"ST11", "another client's refresh token"},
		{"ST12", "a truncated opaque token"},
		{"ST13", "introspection of a stranger's token"},
		{"ST14", "a signed reply about it leaks nothing"},
		{"ST15", "refresh for an audience that was disabled"},
		{"ST16", "the disabled, through every grant"},
		{"ST17", "a role that was taken"},
		{"ST18", "a login does not reactivate"},
		{"ST19", "each check on each path that issues"},
		{"ST20", "a narrow token mints no wider one"},

		{"SJ1", "alg none"},
		{"SJ2", "HMAC keyed with the public key"},
		{"SJ3", "a key named or carried by the header"},
		{"SJ4", "a kid that is none"},
		{"SJ5", "other tokens as access tokens"},
		{"SJ6", "another audience, or none"},
		{"SJ7", "a megabyte of dots"},
		{"SJ8", "encrypted tokens"},
		{"SJ9", "the edges of time"},
		{"SJ10", "the stricter of two epochs"},

		{"SP1", "refusals of a login are the same bytes"},
		{"SP2", "and the same work"},
		{"SP3", "no byte of a password is cut off"},
		{"SP4", "names that look alike"},
		{"SP5", "spellings of a name share one count"},
		{"SP6", "strangers lock nobody out"},
		{"SP7", "a flood of names forgets nobody"},
		{"SP8", "hashing is bounded"},
		{"SP9", "a name or id that is used again inherits nothing"},

		{"SA1", "mass assignment on oneself"},
		{"SA2", "keys in other letters"},
		{"SA3", "a key twice"},
		{"SA4", "more behind the JSON"},
		{"SA5", "foreign ids are like none"},
		{"SA6", "no way to give more than one holds"},
		{"SA7", "an update is judged as a creation is"},
		{"SA8", "lists and metadata show what is permitted"},
		{"SA9", "and so do totals and cursors"},
		{"SA10", "a secret is in no ordinary reply"},
		{"SA11", "an error repeats no secret"},
		{"SA12", "nothing is inherited from who creates or imports"},
		{"SA13", "no token carries a right after its revocation"},
		{"SA14", "nothing is given by a right that was taken"},
		{"SA15", "no update is lost"},
		{"SA16", "a bulk is whole or nothing"},
		{"SA17", "every row wants a caller, but those that are listed"},

		{"SH1", "dots and slashes in a path"},
		{"SH2", "escapes in a path"},
		{"SH3", "NUL, space and parameters in a path"},
		{"SH4", "letters of another case in a path"},
		{"SH5", "X-Forwarded-For of anybody"},
		{"SH6", "identity by header"},
		{"SH7", "ambiguous forwarding"},
		{"SH8", "identity headers are always set"},
		{"SH9", "headers of one hop"},
		{"SH10", "the issuer is that of the configuration"},
		{"SH11", "two credentials"},
		{"SH12", "another method by header"},
		{"SH13", "wrong methods"},
		{"SH14", "other origins"},
		{"SH15", "large, deep and slow bodies"},
		{"SH16", "compressed bodies"},
		{"SH17", "labels of metrics are bounded"},
		{"SH18", "nobody writes lines of the log"},

		{"SO1", "a path is no Rego"},
		{"SO2", "builtins that are not there"},
		{"SO3", "optimising and formatting change no answer"},
		{"SO4", "policies that run away"},
		{"SO5", "a broken file among good ones"},
		{"SO6", "what is undefined is an error"},
		{"SO7", "nothing is taken for something else"},

		{"SS1", "operators where text belongs"},
		{"SS2", "keys that inject"},
		{"SS3", "ids give no access"},
		{"SS4", "forged cursors"},
		{"SS5", "what is too large is refused"},
		{"SS6", "no list is short"},

		{"SL1", "the connection string is in no log"},
		{"SL2", "the audit has no secret"},
		{"SL3", "no profiles and metrics in public"},
		{"SL4", "keys and bootstrap"},

		{"PO05", "store calls of client_credentials and of introspection"},
		{"PO06", "writes of a refresh"},
		{"PO09", "allocations of client_credentials"},
	}
}

// notYet are the rows of security that apply to nothing that exists, each with the reason.
func notYet() map[string]string {
	return map[string]string{"SO8": "there is no console, so there is no playground that could show a configuration"}
}

// TestHouseEveryRowOfSecurityIsListed holds both lists to the numbers of the requirements: none is left out in silence.
func TestHouseEveryRowOfSecurityIsListed(t *testing.T) {
	listed := map[string]bool{}
	for _, r := range requirements() {
		listed[r.id] = true
	}
	for family, last := range map[string]int{"ST": 20, "SJ": 10, "SP": 9, "SA": 17, "SH": 18, "SO": 8, "SS": 6, "SL": 4} {
		for n := 1; n <= last; n++ {
			id := family + strconv.Itoa(n)
			if reason := notYet()[id]; listed[id] == (reason != "") {
				t.Errorf("%s is to be held or to be left out with a reason, and not both: %t, %q", id, listed[id], reason)
			}
		}
	}
}

// seeds are the native statements of the five seed systems; L23, M11 and M13 are about dialects alone. Id L09 is proven by a test TestSeedL09…, or one that has SeedL09 or AndL09 in its name.
func seeds() []string {
	var ids []string
	for _, system := range []struct {
		letter string
		last   int
		not    []int
	}{
		{"L", 22, nil}, {"M", 19, []int{11, 13}}, {"H", 19, nil}, {"P", 16, nil}, {"G", 17, nil}, {"C", 7, nil},
	} {
		for n := 1; n <= system.last; n++ {
			if !slices.Contains(system.not, n) {
				ids = append(ids, fmt.Sprintf("%s%02d", system.letter, n))
			}
		}
	}
	return ids
}

// TestHouseEverySeedStatementHasATest demands an end-to-end test by the name of each.
func TestHouseEverySeedStatementHasATest(t *testing.T) {
	names, err := testNames(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range seeds() {
		proves := regexp.MustCompile(`^e2e\.Test(.*(Seed|And))?` + id + `([^0-9/]|$)[^/]*$`)
		if !strings.HasPrefix(id, "C") {
			proves = regexp.MustCompile(`^e2e\.Test(.*And)?Seed([A-Z][0-9]{2}And)*` + id + `([^0-9/]|$)[^/]*$`)
		}
		if !slices.ContainsFunc(names, proves.MatchString) {
			t.Errorf("%s: no end-to-end test has its name", id)
		}
	}
}

// dialectStatements are those of the dialects by system: L02d is proven by a test TestDialectL02…, or one that has AndL02 in its name. L-23, M-11
// and M-13 have no native counterpart. They are read of the requirements, section by section.
func dialectStatements() map[string][]string {
	return map[string][]string{
		"lerian": {
			"L02", "L03", "L05", "L07", "L08", "L09", "L10", "L11", "L13", "L14", "L16", "L17", "L18", "L19", "L20", "L21", "L22", "L23",
		},
		"miniorange":   {"M09", "M11", "M12", "M13", "M14", "M15", "M17"},
		"hantera":      {"H01", "H02", "H04", "H11", "H12", "H14", "H15", "H17", "H18"},
		"policyserver": {"P01", "P03", "P05", "P06", "P09", "P10", "P12", "P13", "P14", "P15"},
		"rustici":      {"G01", "G02", "G03", "G04", "G08", "G09", "G11", "G12", "G13", "G14", "G15", "G16"},
	}
}

// TestHouseEveryDialectStatementHasATest demands an end-to-end test by the name of each statement of a dialect.
func TestHouseEveryDialectStatementHasATest(t *testing.T) {
	names, err := testNames(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	if len(dialectStatements()) != 5 {
		t.Fatal("the systems are five")
	}
	for dialect, ids := range dialectStatements() {
		for _, id := range ids {
			if !slices.ContainsFunc(names, dialectProver(id)) {
				t.Errorf("%s: no end-to-end test of the dialect %s has the name of %sd", id, dialect, id)
			}
		}
	}
}

func dialectProver(id string) func(name string) bool {
	return regexp.MustCompile(`^e2e\.TestDialect([A-Z][0-9]{2}(And)?)*` + id + `([^0-9/]|$)[^/]*$`).MatchString
}

func TestHouseNamesOfDialectStatements(t *testing.T) {
	for name, proves := range map[string]bool{
		"e2e.TestDialectL09ADeletedApplication": true, "e2e.TestDialectL09AndL10Deleting": true, "e2e.TestDialectL02L09": true,
		"e2e.TestSeedL09": false, "e2e.TestDialectL091": false, "oauth.TestDialectL09": false, "e2e.TestDialectL02/L09 a case": false,
	} {
		if dialectProver("L09")(name) != proves {
			t.Errorf("%s proves L09d: want %t", name, proves)
		}
	}
}

// TestHouseEveryRowHasATest holds the table against the names of all tests: a row without one fails.
func TestHouseEveryRowHasATest(t *testing.T) {
	names, err := testNames(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, r := range requirements() {
		if seen[r.id] {
			t.Errorf("%s is there twice", r.id)
		}
		seen[r.id] = true
		proves := prover(r.id)
		tests := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !proves(name) })
		if len(tests) == 0 {
			t.Errorf("%s (%s): no test has its name", r.id, r.what)
			continue
		}
		t.Logf("%-4s %s: %s", r.id, r.what, strings.Join(tests, ", "))
	}
}

func TestHouseNamesOfRows(t *testing.T) {
	for name, ids := range map[string][]string{
		"oauth.TestT07AndF12ParameterTwice":   {"T07", "F12"},
		"oauth.TestST10Replay":                {"ST10"}, // and neither T10 nor ST1
		"oauth.TestJ01J02J03J06TokenAndKeys":  {"J01", "J02", "J03", "J06"},
		"oauth.TestPO05Nothing":               {"PO05"},
		"oauth.TestSJ05OtherTokens":           {"SJ5"},
		"oauth.TestX/ST10 after a restart":    {"ST10"},
		"oauth.TestX/S-T10 after a restart":   {"ST10"},
		"oauth.TestX/F-07 an empty secret":    {"F07"},
		"oauth.TestX/SJ04 a path":             {"SJ4"},
		"oauth.TestX/a row that names T10":    nil,
		"oauth.TestUnknownClientT12WrongSame": {"T12"},
		"e2e.TestC01AndSA17EveryRow":          {"SA17"}, // and neither A17 nor SA1
		"e2e.TestX/S-A1 roles":                {"SA1"},
	} {
		var got []string
		for _, r := range requirements() {
			if prover(r.id)(name) {
				got = append(got, r.id)
			}
		}
		slices.Sort(got)
		if slices.Sort(ids); !slices.Equal(got, ids) {
			t.Errorf("%s proves %v, want %v", name, got, ids)
		}
	}
}

// prover says of the name of a test, "package.TestName" or "package.TestName/case", whether it has the id.
func prover(id string) func(name string) bool {
	letters := strings.TrimRight(id, "0123456789")
	spelt := letters + "0?" + strings.TrimPrefix(id, letters)
	inName, first := regexp.MustCompile(`(^Test|[a-z0-9])`+spelt+`([^0-9]|$)`), regexp.MustCompile(`^`+spelt+`( |$)`)
	return func(name string) bool {
		_, name, _ = strings.Cut(name, ".")
		function, row, nested := strings.Cut(name, "/")
		if !nested {
			return inName.MatchString(function)
		}
		return first.MatchString(strings.Replace(strings.Replace(row, "S-", "S", 1), "F-", "F", 1))
	}
}

// testNames are all tests of the tree, and of each the literal names of its cases: the first argument of a Run, and what begins an
// element of a table or is its name.
func testNames(root string) ([]string, error) {
	var names []string
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && file != root && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "node_modules"):
			return filepath.SkipDir
		case !strings.HasSuffix(file, "_test.go"), entry.Name() == "rows_test.go": // this file names rows only to count them
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, d := range parsed.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Recv != nil || !strings.HasPrefix(f.Name.Name, "Test") {
				continue
			}
			name := path.Base(filepath.ToSlash(filepath.Dir(file))) + "." + f.Name.Name
			names = append(names, name)
			for _, row := range cases(f) {
				names = append(names, name+"/"+row)
			}
		}
		return nil
	})
	slices.Sort(names)
	return names, err
}

func cases(f *ast.FuncDecl) []string {
	var found []string
	add := func(e ast.Expr) {
		if literal, ok := e.(*ast.BasicLit); ok && literal.Kind == token.STRING {
			if text, err := strconv.Unquote(literal.Value); err == nil {
				found = append(found, text)
			}
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			if method, ok := n.Fun.(*ast.SelectorExpr); ok && method.Sel.Name == "Run" && len(n.Args) == 2 {
				add(n.Args[0])
			}
		case *ast.KeyValueExpr:
			add(n.Key)
			if field, ok := n.Key.(*ast.Ident); ok && field.Name == "name" {
				add(n.Value)
			}
		case *ast.CompositeLit:
			if len(n.Elts) > 0 {
				add(n.Elts[0])
			}
		}
		return true
	})
	return found
}
