package main

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/writ-authz/writ/oauth"
)

// derive fills what follows from other values. An issuer that depends on an ephemeral port follows when the port is known.
func (c *Config) derive(origins map[string]string) {
	c.deriveKEK(origins)
	if c.Issuer == "" && !ephemeral(c.Listen) && loopback(c.Listen) {
		c.Issuer = c.publicURL(c.Listen)
		origins["issuer"] = "default, of listen"
	}
}

// bound completes the configuration with the address that the public listener was given.
func (c *Config) bound(public string) {
	if c.Issuer == "" {
		c.Issuer = c.publicURL(public)
	}
}

func (c *Config) publicURL(address string) string {
	if c.TLSCertFile != "" {
		return "https://" + address
	}
	return "http://" + address
}

// merged says that both listeners are one. Two ephemeral ports are two.
func (c *Config) merged() bool { return c.Listen == c.AdminListen && !ephemeral(c.Listen) }

// validate returns what a server cannot start with; each line names the key, its origin, and what to do.
func (c *Config) validate(origins map[string]string) configError {
	var problems configError
	wrong := func(key, format string, args ...any) {
		problems = append(problems, fmt.Sprintf("%s (%s): %s", key, origins[key], fmt.Sprintf(format, args...)))
	}
	c.validateListeners(wrong)
	c.validateIssuer(wrong)
	c.validateStore(origins, wrong)
	c.validateKEK(origins, wrong)
	if c.BootstrapSecret != "" && len(c.BootstrapSecret) < 32 {
		wrong("bootstrap_secret", "has fewer than 32 characters; use e.g. `openssl rand -hex 32`, or leave it out for a random one")
	}
	if c.BootstrapFile != "" {
		if _, err := os.ReadFile(c.BootstrapFile); err != nil {
			wrong("bootstrap_file", "cannot be read: %s", plain(err))
		}
	}
	for key, dir := range map[string]string{"policies": c.Policies, "policies_core": c.PoliciesCore} {
		if dir == "" {
			continue
		}
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			wrong(key, "%s is not a directory; create it, or leave the key out for the embedded set", dir)
		}
	}
	if _, err := openPolicyKeys(c.PolicyKeysFile); err != nil {
		problems = append(problems, err.Error())
	}
	if c.OverloadQueue < 0 {
		wrong("overload_queue", "%d is less than 0, which turns nothing away", c.OverloadQueue)
	}
	if c.MaxConnections < 0 {
		wrong("max_connections", "%d is less than 0, which bounds nothing", c.MaxConnections)
	}
	if c.PolicyNewlyAllowed < 0 {
		wrong("policy_newly_allowed", "%d is less than 0", c.PolicyNewlyAllowed)
	}
	if _, err := parseProxies(c.TrustedProxies); err != nil {
		wrong("trusted_proxies", "%s; list the proxies in front of this server, separated by commas", err)
	}
	if err := oauth.CheckExternalIssuers(c.Issuer, c.ExternalIssuers); err != nil {
		wrong("external_issuers", "%s", err)
	}
	c.validateLimits(wrong)
	c.validateDialects(wrong)
	slices.Sort(problems)
	return problems
}

func (c *Config) validateStore(origins map[string]string, wrong func(key, format string, args ...any)) {
	if c.MongoDBURI == "" {
		if c.DataDir == "" {
			wrong("data_dir", "is empty; name a directory for the embedded store")
		}
		return
	}
	if origins["data_dir"] != "default" {
		wrong("mongodb_uri", "is set beside data_dir (%s), and a server has one store; unset one of them", origins["data_dir"])
	}
	if c.KEKFile == "" && c.KEK == "" {
		wrong("kek_file", "is required with mongodb_uri, because all nodes need the same key; make one with `(umask 077 && openssl "+
			"rand -base64 32 > kek)`, give it to every node, and keep a copy outside the database")
	}
}

func (c *Config) validateListeners(wrong func(key, format string, args ...any)) {
	for _, l := range []struct{ key, address, cert, key1, certName, keyName string }{
		{"listen", c.Listen, c.TLSCertFile, c.TLSKeyFile, "tls_cert_file", "tls_key_file"},
		{"admin_listen", c.AdminListen, c.AdminTLSCertFile, c.AdminTLSKeyFile, "admin_tls_cert_file", "admin_tls_key_file"},
	} {
		_, port, err := net.SplitHostPort(l.address)
		if _, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil {
			wrong(l.key, "%q is not host:port, such as 127.0.0.1:8080", l.address)
			continue
		}
		switch {
		case l.cert != "" && l.key1 == "":
			wrong(l.certName, "has no key beside it; set %s too", l.keyName)
		case l.cert == "" && l.key1 != "":
			wrong(l.keyName, "has no certificate beside it; set %s too", l.certName)
		case l.cert != "":
			if _, err := loadCertificate(l.cert, l.key1); err != nil {
				wrong(l.certName, "%s", err)
			}
		case !loopback(l.address) && !c.InsecureHTTP && !(l.key == "admin_listen" && c.merged()):
			wrong(l.key, "%s is not a loopback address and has no TLS; set %s and %s, or insecure_http=true behind a proxy that "+
				"terminates TLS", l.address, l.certName, l.keyName)
		}
	}
	if c.merged() && c.AdminTLSCertFile != "" && c.AdminTLSCertFile != c.TLSCertFile {
		wrong("admin_tls_cert_file", "the listeners are one address and so have one certificate; leave admin_tls_* out")
	}
}

func (c *Config) validateIssuer(wrong func(key, format string, args ...any)) {
	if c.Issuer == "" {
		if _, _, err := net.SplitHostPort(c.Listen); err == nil && !loopback(c.Listen) {
			wrong("issuer", "is required because listen (%s) is not a loopback address; set it to the URL by which clients reach "+
				"this server, such as https://auth.example.com", c.Listen)
		}
		return
	}
	u, err := url.Parse(c.Issuer)
	switch {
	case err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http"):
		wrong("issuer", "%q is not a URL such as https://auth.example.com", c.Issuer)
	case u.RawQuery != "" || u.Fragment != "" || u.User != nil || strings.HasSuffix(c.Issuer, "/"):
		wrong("issuer", "must have no query, fragment, credentials or trailing slash (RFC 8414 section 2)")
	case u.Scheme == "http" && !loopback(u.Host) && !c.InsecureHTTP:
		wrong("issuer", "must be an https URL; http is for loopback addresses, or with insecure_http=true")
	}
}

func (c *Config) validateLimits(wrong func(key, format string, args ...any)) {
	if c.PollInterval < 10*time.Millisecond {
		wrong("poll_interval", "%s is too short; use 10ms or more", c.PollInterval)
	}
	if c.MaxStaleness < 2*c.PollInterval {
		wrong("max_staleness", "%s is too short; use at least twice poll_interval (%s)", c.MaxStaleness, c.PollInterval)
	}
	if c.ShutdownDelay < 0 || c.ShutdownDelay > time.Minute {
		wrong("shutdown_delay", "%s is not between 0 and 1m", c.ShutdownDelay)
	}
	if c.PolicyDeadline <= 0 || c.PolicyDeadline > 10*time.Second {
		wrong("policy_deadline", "%s is not between 1ms and 10s", c.PolicyDeadline)
	}
	if c.RefreshTokenLifetime < time.Second || c.SessionLifetime < c.RefreshTokenLifetime {
		wrong("refresh_token_lifetime", "%s is not between 1s and session_lifetime (%s)", c.RefreshTokenLifetime, c.SessionLifetime)
	}
	if c.RefreshGrace < 0 || c.RefreshGrace > oauth.MaxRefreshGrace {
		wrong("refresh_grace", "%s is not between 0s and %s", c.RefreshGrace, oauth.MaxRefreshGrace)
	}
	if c.AssertionMaxAge < time.Second || c.AssertionMaxAge > oauth.MaxAssertionMaxAge {
		wrong("assertion_max_age", "%s is not between 1s and %s", c.AssertionMaxAge, oauth.MaxAssertionMaxAge)
	}
	if c.KeyRotation != 0 && c.KeyRotation < oauth.MinKeyRotation {
		wrong("key_rotation", "%s is neither 0s nor at least %s", c.KeyRotation, oauth.MinKeyRotation)
	}
	if c.AccessTokenLifetime < time.Second || c.AccessTokenLifetime > 24*time.Hour {
		wrong("access_token_lifetime", "%s is not between 1s and 24h", c.AccessTokenLifetime)
	}
	if c.PasswordMinimum < 8 || c.PasswordMinimum > 128 {
		wrong("password_minimum", "%d is not between 8 and 128", c.PasswordMinimum)
	}
	if c.TemporaryPasswordLifetime < time.Minute || c.TemporaryPasswordLifetime > 7*24*time.Hour {
		wrong("temporary_password_lifetime", "%s is not between 1m and 168h", c.TemporaryPasswordLifetime)
	}
	if c.DecisionLogQueue < 1 || c.DecisionLogQueue > 1<<20 {
		wrong("decision_log_queue", "%d is not between 1 and %d", c.DecisionLogQueue, 1<<20)
	}
	if c.DecisionLogBrief < 0 || c.DecisionLogBrief > 100 {
		wrong("decision_log_brief", "%d is not between 0 and 100", c.DecisionLogBrief)
	}
	if c.DecisionLogRecent < 0 || c.DecisionLogRecent > 1024 {
		wrong("decision_log_recent", "%d is not between 0 and 1024", c.DecisionLogRecent)
	}
	switch {
	case c.DecisionLog == "":
		wrong("decision_log", "is empty; use stdout, stderr, off or a file")
	case c.DecisionLog == "off" && c.DecisionLogRequired:
		wrong("decision_log_required", "is true while decision_log is off; name a destination")
	}
	c.validateAudit(wrong)
	c.validateTraces(wrong)
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, c.LogLevel) {
		wrong("log_level", "%q is none of debug, info, warn, error", c.LogLevel)
	}
	if !slices.Contains([]string{"json", "text"}, c.LogFormat) {
		wrong("log_format", "%q is neither json nor text", c.LogFormat)
	}
}

func (c *Config) validateAudit(wrong func(key, format string, args ...any)) {
	if c.AuditAnchor == "" {
		wrong("audit_anchor", "is empty; use log, off or a file")
	}
	if c.AuditCheckpointInterval < time.Second || c.AuditCheckpointInterval > time.Hour {
		wrong("audit_checkpoint_interval", "%s is not between 1s and 1h", c.AuditCheckpointInterval)
	}
	if c.AuditCheckpointEntries < 1 || c.AuditCheckpointEntries > 100_000 {
		wrong("audit_checkpoint_entries", "%d is not between 1 and 100000", c.AuditCheckpointEntries)
	}
	if !slices.Contains([]string{"retrievable", "hash_only"}, c.SecretsMode) {
		wrong("secrets_mode", "%q is neither retrievable nor hash_only", c.SecretsMode)
	}
}

func (c *Config) validateTraces(wrong func(key, format string, args ...any)) {
	if c.TraceSample < 0 || c.TraceSample > 100 {
		wrong("trace_sample", "%d is not between 0 and 100", c.TraceSample)
	}
	if c.OTLPEndpoint == "" {
		return
	}
	u, err := url.Parse(c.OTLPEndpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
		strings.HasSuffix(u.Path, "/") {
		wrong("otlp_endpoint", "is not an http or https URL without credentials, query, fragment and final slash; give it as http://collector:4318")
	}
}

func ephemeral(address string) bool {
	_, port, err := net.SplitHostPort(address)
	return err == nil && port == "0"
}

// loopback says that a host, with or without a port, can only be reached from this machine.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = strings.Trim(address, "[]")
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// localIssuer says that clients reach the server on this machine only.
func localIssuer(issuer string) bool {
	u, err := url.Parse(issuer)
	return err == nil && loopback(u.Host)
}
