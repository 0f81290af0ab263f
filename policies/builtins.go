package policies

import (
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
)

// capabilities returns what a policy may use: a positive list of builtins that are pure functions of their arguments, and
// no network. It is the same in the load gate, check, tests and evaluation. Absent on purpose: clocks, randomness, network
// (also the pure net.*), the runtime, tokens and certificates, anything that costs more than its input is long.
func capabilities() *ast.Capabilities {
	c, allowed := ast.CapabilitiesForThisVersion(), allowedBuiltins()
	c.Builtins = slices.DeleteFunc(slices.Clone(c.Builtins), func(b *ast.Builtin) bool {
		_, found := slices.BinarySearch(allowed, b.Name)
		return !found
	})
	c.AllowNet = []string{} // nil would be any host
	return c
}

// allowedBuiltins is sorted.
func allowedBuiltins() []string {
	return []string{
		"abs", "and", "array.concat", "array.flatten", "array.reverse", "array.slice", "assign",
		"base64.decode", "base64.encode", "base64.is_valid", "base64url.decode", "base64url.encode", "base64url.encode_no_pad",
		"bits.and", "bits.negate", "bits.or", "bits.rsh", "bits.xor",
		"ceil", "concat", "contains", "count", "crypto.hmac.equal", "crypto.hmac.sha256", "crypto.sha256",
		"div", "endswith", "eq", "equal", "floor", "format_int",
		"glob.match", "glob.quote_meta", "graph.reachable", "gt", "gte", "hex.decode", "hex.encode",
		"indexof", "indexof_n", "internal.member_2", "internal.member_3", "internal.template_string", "internal.test_case",
		"intersection", "is_array", "is_boolean", "is_null", "is_number", "is_object", "is_set", "is_string",
		"json.filter", "json.is_valid", "json.marshal", "json.remove", "json.unmarshal",
		"lower", "lt", "lte", "max", "min", "minus", "mul", "neq",
		"object.filter", "object.get", "object.keys", "object.remove", "object.subset", "object.union", "object.union_n",
		"or", "plus", "product", "regex.is_valid", "regex.match", "rem", "replace", "round",
		"semver.compare", "semver.is_valid", "sort", "split", "sprintf", "startswith",
		"strings.any_prefix_match", "strings.any_suffix_match", "strings.count", "strings.reverse", "strings.split_n",
		"substring", "sum",
		"time.add_date", "time.clock", "time.date", "time.diff", "time.format", "time.parse_duration_ns", "time.parse_ns",
		"time.parse_rfc3339_ns", "time.weekday", "to_number",
		"trim", "trim_left", "trim_prefix", "trim_right", "trim_space", "trim_suffix", "type_name",
		"union", "units.parse", "units.parse_bytes", "upper", "uri.is_valid", "uri.parse",
		"urlquery.decode", "urlquery.encode",
	}
}
