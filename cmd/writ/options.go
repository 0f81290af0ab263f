package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/writ-authz/writ/oauth"
)

// Config is everything that an operator can say. Each comment says what absence means; absence is always usable, except where
// a production server must not guess.
type Config struct {
	Listen      string // public listener; absent: 127.0.0.1:8080
	AdminListen string // admin listener; absent: 127.0.0.1:8081
	Issuer      string // absent: the public listener's URL while that is a loopback address, else required

	DataDir    string // directory of the embedded store; absent: ./writ-data
	MongoDBURI string // connection string of a replica set; absent: the embedded store
	KEKFile    string // key encryption key; absent: KEK, a systemd credential, or, but for MongoDB, "kek" in DataDir, made at need
	KEK        string // the key encryption key itself; absent: KEKFile

	// credentials is where systemd puts what LoadCredential names; empty outside it.
	credentials string

	BootstrapSecret string // secret of root on the first start; absent: a random one, printed once
	BootstrapFile   string // YAML with tenants, roles, groups, users and applications; absent: none

	TLSCertFile, TLSKeyFile           string // absent: plain HTTP
	AdminTLSCertFile, AdminTLSKeyFile string // absent: plain HTTP
	InsecureHTTP                      bool   // plain HTTP off loopback, behind a proxy that terminates TLS
	TrustedProxies                    string // whose X-Forwarded-For is taken; absent: nobody's
	AllowRevealOnPublic               bool   // credential retrieval although the listeners are one
	AdminBasic                        bool   // application credentials by HTTP Basic on the admin API

	MaxStaleness  time.Duration // how old the mirror may be before the node fails closed
	PollInterval  time.Duration // how often the change feed is read
	ShutdownDelay time.Duration // readiness off before the listeners close

	Policies       string        // directory of a policy author; absent: the embedded set alone
	PoliciesCore   string        // replaces the core; absent: the embedded one
	PolicyDeadline time.Duration // longest evaluation

	PoliciesManaged    bool   // revisions and data of the store are used; false: the node's own alone
	PolicyKeysFile     string // public keys of which one must sign a pushed revision; absent: none needs to
	PolicyNewlyAllowed int    // decisions that an activation may turn to allowed without being acknowledged

	OverloadQueue  int // requests for each core that may wait as a lasting state before some are turned away; 0: any number
	MaxConnections int // of each listener; 0: any number

	DecisionLog         string // "stdout", "stderr", "off" or a file
	DecisionLogRequired bool   // 503 instead of a dropped line
	DecisionLogQueue    int    // lines that may wait
	DecisionLogBrief    int    // percent of the lines that leave the input out
	DecisionLogRecent   int    // MiB of lines that are kept in memory; 0 keeps none

	OTLPEndpoint string // of a collector of traces; absent: none are made
	TraceSample  int    // percent of the requests that are traced

	Dialects map[string]*dialectConfig // by name, one for each that there is

	ExternalIssuers  []oauth.ExternalIssuer // whose access tokens the APIs take beside our own; absent: nobody's
	AllowPrivateJWKS bool                   // documents of other servers may come from private networks

	AccessTokenLifetime                   time.Duration // where the application names none
	RefreshTokenLifetime, SessionLifetime time.Duration // end of a session after its last use, and however much it is used
	RefreshGrace                          time.Duration // how long a used refresh token gives the same successor; 0: every second use is a reuse
	AssertionAudienceTokenEndpoint        bool          // client assertions may name the token endpoint, beside the issuer
	AssertionMaxAge                       time.Duration // how far off the end of a client assertion may be, and how long ago it was made
	KeyRotation                           time.Duration // how long a key signs before the next one does; 0: until somebody rotates
	PasswordMinimum                       int           // characters
	TemporaryPasswordLifetime             time.Duration // of a password that its owner has not chosen
	BreachedPasswordsFile                 string        // leaked passwords that nobody may choose; absent: none

	AuditAnchor             string        // "log", "off" or a file: where checkpoints of the audit go beside the store
	AuditCheckpointInterval time.Duration // at most so long until an entry is in a checkpoint
	AuditCheckpointEntries  int           // or so many entries
	SecretsMode             string        // "retrievable", or "hash_only": no secret can be read again

	LogLevel  string // "debug", "info", "warn" or "error"
	LogFormat string // "json" or "text"

	// restoring lets a node open a store that a restore has not finished with.
	restoring bool
}

// option is one row of the configuration: the same key, with dashes, in capitals or as it is, for flag, environment and file.
type option struct {
	key   string
	usage string
	field any // *string, *bool, *int, *time.Duration or *[]oauth.ExternalIssuer of the Config
	// secret values are never shown, have no flag (it would be visible in the process list) and may come from WRIT_<KEY>_FILE.
	secret bool
}

func defaults() Config {
	return Config{
		Listen: "127.0.0.1:8080", AdminListen: "127.0.0.1:8081", DataDir: "./writ-data",
		AdminBasic:   true,
		MaxStaleness: 5 * time.Second, PollInterval: 200 * time.Millisecond,
		PolicyDeadline: 200 * time.Millisecond, PoliciesManaged: true,
		OverloadQueue: 64, MaxConnections: 10_000,
		DecisionLog: "stdout", DecisionLogQueue: 4096, DecisionLogRecent: 8, TraceSample: 100,
		AccessTokenLifetime: time.Hour, PasswordMinimum: 12, TemporaryPasswordLifetime: 24 * time.Hour,
		RefreshTokenLifetime: oauth.DefaultRefreshTokenLifetime, SessionLifetime: oauth.DefaultSessionLifetime,
		RefreshGrace: oauth.DefaultRefreshGrace, AssertionMaxAge: oauth.DefaultAssertionMaxAge, KeyRotation: oauth.DefaultKeyRotation,
		AuditAnchor: "log", AuditCheckpointInterval: time.Minute, AuditCheckpointEntries: 1000, SecretsMode: "retrievable",
		Dialects: defaultDialects(),
		LogLevel: "info", LogFormat: "json",
	}
}

func options(c *Config) []option {
	return append(plainOptions(c), dialectOptions(c)...)
}

func plainOptions(c *Config) []option {
	return []option{
		{key: "listen", field: &c.Listen, usage: "address of the public listener: OAuth, decisions, me, well-known"},
		{key: "admin_listen", field: &c.AdminListen, usage: "address of the admin listener: management, metrics, readiness"},
		{key: "issuer", field: &c.Issuer, usage: "URL by which clients reach the public listener"},
		{key: "data_dir", field: &c.DataDir, usage: "directory of the embedded store"},
		{key: "mongodb_uri", field: &c.MongoDBURI, secret: true, usage: "connection string of a MongoDB replica set"},
		{key: "kek_file", field: &c.KEKFile, usage: "file with the key encryption key, mode 0600"},
		{key: "kek", field: &c.KEK, secret: true, usage: "the key encryption key itself, in base64, where no file can be had"},
		{key: "bootstrap_secret", field: &c.BootstrapSecret, secret: true, usage: "secret of the application root on the first start"},
		{key: "bootstrap_file", field: &c.BootstrapFile, usage: "YAML that declares tenants, roles, groups, users, applications"},
		{key: "tls_cert_file", field: &c.TLSCertFile, usage: "certificate of the public listener, PEM; reloaded when it changes"},
		{key: "tls_key_file", field: &c.TLSKeyFile, usage: "key of the public listener, PEM; reloaded when it changes"},
		{key: "admin_tls_cert_file", field: &c.AdminTLSCertFile, usage: "certificate of the admin listener, PEM"},
		{key: "admin_tls_key_file", field: &c.AdminTLSKeyFile, usage: "key of the admin listener, PEM"},
		{key: "insecure_http", field: &c.InsecureHTTP, usage: "allow plain HTTP off loopback, behind a proxy that terminates TLS"},
		{key: "trusted_proxies", field: &c.TrustedProxies, usage: "addresses and networks whose X-Forwarded-For is taken, comma-separated"},
		{
			key: "allow_reveal_on_public", field: &c.AllowRevealOnPublic,
			usage: "serve credential retrieval when both listeners are the same address",
		},
		{key: "admin_basic", field: &c.AdminBasic, usage: "accept application credentials by HTTP Basic on the admin API"},
		{key: "max_staleness", field: &c.MaxStaleness, usage: "how old the node's view may be before it answers 503"},
		{key: "poll_interval", field: &c.PollInterval, usage: "how often the change feed is read"},
		{key: "shutdown_delay", field: &c.ShutdownDelay, usage: "time between readiness off and closing the listeners"},
		{key: "policies", field: &c.Policies, usage: "directory with apps/*, catalogue parts and settings; reloaded when it changes"},
		{key: "policies_core", field: &c.PoliciesCore, usage: "directory that replaces the core rules (see writ policy eject)"},
		{key: "policy_deadline", field: &c.PolicyDeadline, usage: "longest time that one evaluation may take"},
		{key: "policies_managed", field: &c.PoliciesManaged, usage: "serve the revision and the policy data of the store; false: the node's own alone"},
		{key: "policy_keys_file", field: &c.PolicyKeysFile, usage: "public keys of which one must have signed what is pushed, as OPA's configuration has them"},
		{
			key: "policy_newly_allowed", field: &c.PolicyNewlyAllowed,
			usage: "recent denials that an activation may turn into permits without being acknowledged",
		},
		{
			key: "overload_queue", field: &c.OverloadQueue,
			usage: "requests for each core that may wait as a lasting state before some are answered 503; 0 for any number",
		},
		{
			key: "max_connections", field: &c.MaxConnections,
			usage: "connections of each listener; beyond it the one that was quiet for longest is closed; 0 for any number",
		},
		{key: "decision_log", field: &c.DecisionLog, usage: "stdout, stderr, off, or a file that lines are appended to"},
		{key: "decision_log_required", field: &c.DecisionLogRequired, usage: "answer 503 instead of dropping a decision-log line"},
		{key: "decision_log_queue", field: &c.DecisionLogQueue, usage: "decision-log lines that may wait to be written"},
		{key: "decision_log_brief", field: &c.DecisionLogBrief, usage: "percent of the decision-log lines that leave the input out, and cannot be replayed"},
		{key: "decision_log_recent", field: &c.DecisionLogRecent, usage: "MiB of the last decisions kept for GET /v1/decisions; 0 keeps none"},
		{key: "otlp_endpoint", field: &c.OTLPEndpoint, usage: "URL of a collector that takes traces by OTLP over HTTP; empty makes none"},
		{key: "trace_sample", field: &c.TraceSample, usage: "percent of the requests that are traced"},
		{
			key: "external_issuers", field: &c.ExternalIssuers,
			usage: "other servers whose access tokens are taken: a list of issuer, runtime_audience, management_audience, as JSON",
		},
		{key: "allow_private_jwks", field: &c.AllowPrivateJWKS, usage: "fetch keys and metadata of other servers from private networks, too"},
		{key: "access_token_lifetime", field: &c.AccessTokenLifetime, usage: "lifetime of access tokens where the application names none"},
		{key: "refresh_token_lifetime", field: &c.RefreshTokenLifetime, usage: "how long a session lasts after its last use"},
		{key: "session_lifetime", field: &c.SessionLifetime, usage: "how long a session lasts however much it is used"},
		{key: "refresh_grace", field: &c.RefreshGrace, usage: "how long a used refresh token still gives the same successor; 0s for none"},
		{
			key: "assertion_audience_token_endpoint", field: &c.AssertionAudienceTokenEndpoint,
			usage: "take client assertions that name the token endpoint as audience, beside the issuer",
		},
		{key: "assertion_max_age", field: &c.AssertionMaxAge, usage: "longest life of a client assertion"},
		{key: "key_rotation", field: &c.KeyRotation, usage: "how long a key signs before the next one does; 0s for rotation by hand alone"},
		{key: "password_minimum", field: &c.PasswordMinimum, usage: "least length of a password, in characters"},
		{
			key: "temporary_password_lifetime", field: &c.TemporaryPasswordLifetime,
			usage: "how long a temporary password may be used to log in",
		},
		{
			key: "breached_passwords_file", field: &c.BreachedPasswordsFile,
			usage: "sorted SHA-1 hashes of leaked passwords, which nobody may choose",
		},
		{key: "audit_anchor", field: &c.AuditAnchor, usage: "where checkpoints of the audit go beside the store: log, off, or a file"},
		{key: "audit_checkpoint_interval", field: &c.AuditCheckpointInterval, usage: "how long an audit entry waits for a checkpoint at most"},
		{key: "audit_checkpoint_entries", field: &c.AuditCheckpointEntries, usage: "how many audit entries call for a checkpoint at once"},
		{
			key: "secrets_mode", field: &c.SecretsMode,
			usage: "retrievable, or hash_only: no secret can be read again, and the copies that there are go for good",
		},
		{key: "log_level", field: &c.LogLevel, usage: "debug, info, warn or error"},
		{key: "log_format", field: &c.LogFormat, usage: "json or text"},
	}
}

func (o option) env() string  { return "WRIT_" + strings.ToUpper(o.key) }
func (o option) flag() string { return strings.ReplaceAll(o.key, "_", "-") }

// text is the field's value as it would be written in a file.
func (o option) text() string {
	switch field := o.field.(type) {
	case *string:
		return *field
	case *bool:
		return strconv.FormatBool(*field)
	case *int:
		return strconv.Itoa(*field)
	case *time.Duration:
		return field.String()
	case *[]oauth.ExternalIssuer:
		if len(*field) == 0 {
			return ""
		}
		text, _ := json.Marshal(*field) // three strings each
		return string(text)
	}
	panic("option " + o.key + " has a field of an unknown type")
}

// set parses text into the field; the error says what the key wants.
func (o option) set(text string) error {
	var err error
	switch field := o.field.(type) {
	case *string:
		*field = text
	case *bool:
		if *field, err = strconv.ParseBool(text); err != nil {
			return fmt.Errorf("%q is neither true nor false", text)
		}
	case *int:
		if *field, err = strconv.Atoi(text); err != nil {
			return fmt.Errorf("%q is not a whole number", text)
		}
	case *time.Duration:
		if *field, err = time.ParseDuration(text); err != nil {
			return fmt.Errorf("%q is not a duration such as 200ms, 5s or 1h", text)
		}
	case *[]oauth.ExternalIssuer:
		return setIssuers(field, text)
	}
	return nil
}

// list says that the value is a list, which a file may have as YAML and everything else has as JSON.
func (o option) list() bool {
	_, ok := o.field.(*[]oauth.ExternalIssuer)
	return ok
}

// setIssuers reads a JSON list of external issuers.
func setIssuers(into *[]oauth.ExternalIssuer, text string) error {
	const shape = `[{"issuer": "https://idp.example.com", "runtime_audience": "writ.runtime", "management_audience": "writ.management"}]`
	if text == "" {
		*into = nil
		return nil
	}
	var rows []map[string]string
	d := json.NewDecoder(strings.NewReader(text))
	err := d.Decode(&rows)
	if _, more := d.Token(); err != nil || !errors.Is(more, io.EOF) {
		return fmt.Errorf("is not a list such as %s", shape)
	}
	known := []string{"issuer", "runtime_audience", "management_audience"}
	list := make([]oauth.ExternalIssuer, len(rows))
	for n, row := range rows {
		for name := range row {
			if !slices.Contains(known, name) {
				return fmt.Errorf("unknown key %q in entry %d; the nearest is %q", name, n+1, nearest(name, known))
			}
		}
		list[n] = oauth.ExternalIssuer{Issuer: row[known[0]], RuntimeAudience: row[known[1]], ManagementAudience: row[known[2]]}
	}
	*into = list
	return nil
}
