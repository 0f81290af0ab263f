package main

import (
	"net/http"
	"testing"
)

// TestSH5ForwardedAddressesAreTakenFromListedProxiesOnly reads X-Forwarded-For as proxies write it and as others forge it.
func TestSH5ForwardedAddressesAreTakenFromListedProxiesOnly(t *testing.T) {
	trusted, err := parseProxies("10.0.0.0/8, 192.0.2.1,2001:db8::/32")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		connection string
		header     []string
		want       string
	}{
		"no proxy, no header":              {"203.0.113.5:1", nil, "203.0.113.5"},
		"no proxy, a forged header":        {"203.0.113.5:1", []string{"198.51.100.1"}, "203.0.113.5"},
		"a proxy":                          {"10.0.0.1:1", []string{"198.51.100.1"}, "198.51.100.1"},
		"a proxy, the client forged one":   {"10.0.0.1:1", []string{"8.8.8.8, 198.51.100.1"}, "198.51.100.1"},
		"two proxies":                      {"192.0.2.1:1", []string{"8.8.8.8, 198.51.100.1, 10.1.1.1"}, "198.51.100.1"},
		"two headers are one list":         {"10.0.0.1:1", []string{"198.51.100.1", "10.1.1.1"}, "198.51.100.1"},
		"a proxy that says nothing":        {"10.0.0.1:1", nil, "10.0.0.1"},
		"no address":                       {"10.0.0.1:1", []string{"198.51.100.1, unknown"}, "10.0.0.1"},
		"an empty entry":                   {"10.0.0.1:1", []string{"198.51.100.1,"}, "10.0.0.1"},
		"a port is no address":             {"10.0.0.1:1", []string{"198.51.100.1:4711"}, "10.0.0.1"},
		"IPv6":                             {"[2001:db8::1]:1", []string{"2001:4860::1"}, "2001:4860::1"},
		"IPv4 in IPv6":                     {"[::ffff:10.0.0.1]:1", []string{"::ffff:198.51.100.1"}, "198.51.100.1"},
		"only proxies":                     {"10.0.0.1:1", []string{"10.0.0.2, 10.0.0.3"}, "10.0.0.2"},
		"a connection that has no address": {"@", []string{"198.51.100.1"}, "invalid IP"},
	} {
		r := &http.Request{RemoteAddr: c.connection, Header: http.Header{"X-Forwarded-For": c.header}}
		if got := trusted.peer(r).String(); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
	for _, bad := range []string{"10.0.0.0/33", "proxy.example.com", "10.0.0.1/8", "10.0.0.1;10.0.0.2"} {
		if _, err := parseProxies(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
