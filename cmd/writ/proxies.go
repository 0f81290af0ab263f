package main

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// proxies are the networks whose word on where a request comes from is taken. Nobody's is taken by default: a header is whatever
// its sender likes.
type proxies []netip.Prefix

// parseProxies reads a comma-separated list of CIDRs and addresses.
func parseProxies(text string) (proxies, error) {
	var list proxies
	for entry := range strings.SplitSeq(text, ",") {
		entry = strings.TrimSpace(entry)
		if entry == "" {
			continue
		}
		if address, err := netip.ParseAddr(entry); err == nil {
			list = append(list, netip.PrefixFrom(address.Unmap(), address.Unmap().BitLen()))
			continue
		}
		prefix, err := netip.ParsePrefix(entry)
		if err != nil || prefix.Masked() != prefix {
			return nil, fmt.Errorf("%q is neither an address nor a network such as 10.0.0.0/8", entry)
		}
		list = append(list, prefix)
	}
	return list, nil
}

func (p proxies) trust(address netip.Addr) bool {
	return slices.ContainsFunc(p, func(prefix netip.Prefix) bool { return prefix.Contains(address.Unmap()) })
}

// peer is the address that a request came from: that of the connection, or, behind trusted proxies, the last one in X-Forwarded-For that
// no trusted proxy added. Each proxy appends where it was asked from, so the list is read from its end and no further than the first
// address that is not a proxy's; what stands before that, the client wrote. What is no address ends the walk at the proxy that let it
// pass.
func (p proxies) peer(r *http.Request) netip.Addr {
	connection, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	peer := connection.Addr().Unmap()
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for n := len(hops) - 1; n >= 0 && p.trust(peer); n-- {
		before, err := netip.ParseAddr(strings.TrimSpace(hops[n]))
		if err != nil || before.Zone() != "" {
			break
		}
		peer = before.Unmap()
	}
	return peer
}
