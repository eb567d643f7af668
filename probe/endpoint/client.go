package endpoint

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	openai "github.com/sashabaranov/go-openai"

	"github.com/stillmark/stillmark/probe/ledger"
)

// DefaultConcurrency is how many connections to a target are kept for reuse:
// more streams than services grant to one key.
const DefaultConcurrency = 256

// Options are the settings of a client. The zero value is usable.
type Options struct {
	MaxConcurrency int                 // connections kept for reuse, 0 means DefaultConcurrency
	Timeouts       Timeouts            // zero members mean the defaults
	LookupEnv      func(string) string // os.Getenv if nil
	Transport      http.RoundTripper   // for tests; nil means the client's own pool
}

// Client sends requests to one target. It is safe for concurrent use.
type Client struct {
	target  ledger.Target
	quirks  Quirks
	secret  Secret
	redact  func([]byte) []byte
	openai  *openai.Client
	flights *recorder
}

// New makes a client for a target. A key that is named but not set, and a base
// URL that cannot be used, are a [*ConfigError].
func New(t ledger.Target, opt Options) (*Client, error) {
	base, err := checkURL(t)
	if err != nil {
		return nil, err
	}
	if t.Model == "" {
		return nil, &ConfigError{t.Name, "no model is named", "name the model as the target's documentation does"}
	}
	secret, err := lookupSecret(t, opt.LookupEnv)
	if err != nil {
		return nil, err
	}
	if secret.key() != "" && base.Scheme == "http" && !isLocal(base.Hostname()) {
		return nil, &ConfigError{t.Name, "the API key would cross the network unencrypted to " + base.Host, "use an https:// base URL"}
	}
	quirks, err := presetQuirks(t)
	if err != nil {
		return nil, err
	}
	timeouts := opt.Timeouts.withDefaults()
	if opt.Transport == nil {
		opt.Transport = newTransport(opt.MaxConcurrency, timeouts.Connect)
	}
	c := &Client{
		target: t, quirks: quirks, secret: secret, redact: secret.redactor(),
		flights: &recorder{transport: opt.Transport, timeouts: timeouts, secret: secret},
	}
	// The library gets no key: the recorder adds it to what is sent.
	config := openai.DefaultConfig("")
	config.BaseURL = strings.TrimRight(t.BaseURL, "/")
	config.HTTPClient = c.flights
	c.openai = openai.NewClientWithConfig(config)
	return c, nil
}

// Close closes idle connections.
func (c *Client) Close() {
	if t, ok := c.flights.transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// newTransport is a pool for one target. Compression is off, so that what is
// recorded is what was sent; HTTP/2 connections are pinged when they fall
// silent, since one that died unseen would take all its streams with it.
func newTransport(concurrency int, connect time.Duration) *http.Transport {
	if concurrency <= 0 {
		concurrency = DefaultConcurrency
	}
	dialer := &net.Dialer{Timeout: connect, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dialer.DialContext,
		TLSHandshakeTimeout:   connect,
		ForceAttemptHTTP2:     true,
		DisableCompression:    true,
		MaxIdleConns:          concurrency,
		MaxIdleConnsPerHost:   concurrency,
		IdleConnTimeout:       90 * time.Second,
		ExpectContinueTimeout: time.Second,
		ReadBufferSize:        16 << 10,
		HTTP2:                 &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second},
	}
}

// checkURL checks the base URL.
func checkURL(t ledger.Target) (*url.URL, error) {
	bad := func(problem string) (*url.URL, error) {
		return nil, &ConfigError{t.Name, problem, "give a base URL such as https://api.example.com/v1"}
	}
	if t.BaseURL == "" {
		return bad("no base URL is given")
	}
	u, err := url.Parse(t.BaseURL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		// The text is not shown: it could hold a password.
		return bad("the base URL is no http or https URL")
	case u.User != nil:
		return bad("the base URL holds a user name or password")
	case u.RawQuery != "" || u.Fragment != "":
		return bad("the base URL has a query or a fragment")
	}
	for _, suffix := range []string{"/chat/completions", "/completions"} {
		if path, ok := strings.CutSuffix(strings.TrimRight(u.Path, "/"), suffix); ok {
			return bad(fmt.Sprintf("the base URL ends in %s; leave that off: %s://%s%s", suffix, u.Scheme, u.Host, path))
		}
	}
	return u, nil
}

// isLocal reports whether a host is this machine or on a private network, where
// model servers commonly speak plain HTTP: loopback, private and link-local
// addresses, names without a dot, and names under local, lan, internal, home.arpa.
func isLocal(host string) bool {
	if a, err := netip.ParseAddr(host); err == nil {
		return a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast()
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if !strings.Contains(host, ".") {
		return true
	}
	for _, zone := range []string{".local", ".lan", ".internal", ".home.arpa", ".localhost"} {
		if strings.HasSuffix(host, zone) {
			return true
		}
	}
	return false
}

// lookupSecret reads the key from the environment.
func lookupSecret(t ledger.Target, lookup func(string) string) (Secret, error) {
	if t.APIKeyEnv == "" {
		return Secret{}, nil
	}
	if lookup == nil {
		lookup = os.Getenv
	}
	key := lookup(t.APIKeyEnv)
	switch {
	case key == "":
		return Secret{}, &ConfigError{
			t.Name, "the environment variable " + t.APIKeyEnv + " is not set",
			"set it to the API key for " + t.BaseURL + ", then run the same command again",
		}
	case strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }):
		return Secret{}, &ConfigError{
			t.Name, "the environment variable " + t.APIKeyEnv + " holds white space or other characters that no API key has",
			"set it to the API key alone, without quotation marks or a line break",
		}
	}
	return newSecret(key), nil
}
