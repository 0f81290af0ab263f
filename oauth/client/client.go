package client

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	defaultTimeout = 2 * time.Second
	defaultKeysFor = time.Hour
)

// Config is what a service knows of Writ and of itself.
type Config struct {
	// Issuer is what tokens name as iss: the issuer that the server is configured with. Required.
	Issuer string
	// URL is where the server's public listener is reached from here; absent: the scheme and host of the issuer.
	URL string
	// InsecureHTTP permits plain HTTP to a host that is not a loopback address. Absent: it is refused, because tokens and the
	// secret travel there.
	InsecureHTTP bool
	// Audience is what this service is called in the aud of tokens. Required: a token for somebody else is no good here.
	Audience string

	// ClientID and one of ClientSecret and ClientSecretFile are the service's own application, by which it introspects tokens and
	// asks for decisions. The file is read whenever the secret is used, so that it can be exchanged. Absent: JWTs can be verified
	// and nothing else.
	ClientID         string
	ClientSecret     string
	ClientSecretFile string

	// Introspect asks the server about every token whose signature is good, so that a revocation binds at once. Absent: JWTs are good
	// until they expire; opaque tokens are introspected in any case.
	Introspect bool
	// Algorithms are those that a token may be signed with. Absent: ES256, RS256 and EdDSA, which are what Writ signs with.
	Algorithms []string
	// KeysFor is how long keys are used after they were fetched, while the server cannot be reached. Absent: an hour. They are
	// fetched anew every few minutes, as the server says.
	KeysFor time.Duration

	// Timeout is for one call to the server, a second attempt included. Absent: two seconds.
	Timeout time.Duration
	// Transport reaches the server, for certificates of your own or for tracing. Absent: a copy of http.DefaultTransport.
	Transport http.RoundTripper
	// ClientIP says where a request came from, for rules about addresses; only you know which proxies to believe. Absent: the
	// server is told nothing, and who may come from some addresses only is refused.
	ClientIP func(*http.Request) netip.Addr
	// WriteError writes the reply of middleware to a request that it does not let through. Absent: WriteError of this package.
	WriteError func(http.ResponseWriter, *http.Request, error)
	// Now is the clock. Absent: time.Now.
	Now func() time.Time
}

// Client is safe for use by many goroutines. Make one for each audience, and keep it: it holds keys and connections.
type Client struct {
	config     Config
	base       string
	algorithms []jose.SignatureAlgorithm
	http       http.Client
	keys       *keys
	own        *held[string]
}

// New returns a client, or an error that says what is wrong with the configuration. It sends nothing.
func New(config Config) (*Client, error) {
	c := &Client{config: config}
	if err := c.complete(); err != nil {
		return nil, fmt.Errorf("writ client: %w", err)
	}
	transport := c.config.Transport
	if transport == nil {
		own := http.DefaultTransport.(*http.Transport).Clone()
		own.MaxIdleConnsPerHost = 64 // all requests of a service go to one host
		transport = own
	}
	c.http = http.Client{
		Transport: transport,
		// Nothing of Writ redirects, and a token or secret must not travel on.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	c.keys = &keys{held: held[keySet]{fetch: c.fetchKeys, now: c.config.Now}, now: c.config.Now, wrong: map[string]time.Time{}}
	c.own = &held[string]{fetch: c.fetchToken, now: c.config.Now}
	return c, nil
}

// complete checks the configuration and fills in what is absent.
func (c *Client) complete() error {
	given := &c.config
	issuer, err := c.address("Issuer", given.Issuer)
	if err != nil {
		return err
	}
	c.base = issuer.Scheme + "://" + issuer.Host
	if given.URL != "" {
		at, err := c.address("URL", given.URL)
		if err != nil {
			return err
		}
		c.base = strings.TrimSuffix(at.String(), "/")
	}
	if given.Audience == "" || strings.ContainsFunc(given.Audience, unquotable) {
		return errors.New("set Audience, to what this service is called in the aud of tokens")
	}
	if given.ClientSecret != "" && given.ClientSecretFile != "" {
		return errors.New("set ClientSecret or ClientSecretFile, not both")
	}
	if hasSecret := given.ClientSecret != "" || given.ClientSecretFile != ""; hasSecret != (given.ClientID != "") {
		return errors.New("ClientID and a secret go together")
	}
	if given.Introspect && given.ClientID == "" {
		return errors.New("to introspect tokens, set ClientID and a secret")
	}
	if given.Timeout < 0 || given.KeysFor < 0 {
		return errors.New("a duration is negative")
	}
	for _, name := range given.Algorithms {
		algorithm := jose.SignatureAlgorithm(name)
		if !slices.Contains(algorithms(), algorithm) {
			return fmt.Errorf("algorithm %q is none that Writ signs with", name)
		}
		c.algorithms = append(c.algorithms, algorithm)
	}
	if len(c.algorithms) == 0 {
		c.algorithms = algorithms()
	}
	given.Timeout = orElse(given.Timeout, defaultTimeout)
	given.KeysFor = orElse(given.KeysFor, defaultKeysFor)
	if given.Now == nil {
		given.Now = time.Now
	}
	if given.WriteError == nil {
		given.WriteError = c.WriteError
	}
	return nil
}

func algorithms() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{jose.ES256, jose.RS256, jose.EdDSA}
}

func orElse(given, instead time.Duration) time.Duration {
	if given == 0 {
		return instead
	}
	return given
}

// unquotable is a character that cannot stand in a quoted string of a challenge.
func unquotable(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }

// address reads one of the URLs of the configuration.
func (c *Client) address(field, text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%s: %q is no URL of a server, such as https://writ.example.com", field, text)
	}
	switch {
	case u.Scheme == "https":
	case u.Scheme != "http":
		return nil, fmt.Errorf("%s: the scheme %q is not https", field, u.Scheme)
	case !c.config.InsecureHTTP && !loopback(u.Hostname()):
		return nil, fmt.Errorf("%s: plain HTTP to %s: use https, or set InsecureHTTP", field, u.Hostname())
	}
	return u, nil
}

func loopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.IsLoopback()
}

// secret is the service's own.
func (c *Client) secret() (string, error) {
	if c.config.ClientID == "" {
		return "", fmt.Errorf("%w: it has no ClientID", ErrRefused)
	}
	if c.config.ClientSecretFile == "" {
		return c.config.ClientSecret, nil
	}
	text, err := os.ReadFile(c.config.ClientSecretFile)
	if err != nil {
		return "", unavailable("the service's secret: %w", err)
	}
	return strings.TrimRight(string(text), "\r\n"), nil
}
