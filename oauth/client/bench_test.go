package client_test

import (
	"testing"
	"time"

	"github.com/writ-authz/writ/oauth/client"
)

// BenchmarkVerify is a token by the keys that are there, of each algorithm.
func BenchmarkVerify(b *testing.B) {
	for _, id := range []string{"es", "rs", "ed"} {
		b.Run(id, func(b *testing.B) {
			s := newServer(b)
			c := s.client(func(c *client.Config) { c.Now = time.Now })
			raw := s.token(id, s.claims(nil))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Verify(b.Context(), raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkCheck is a question without the network.
func BenchmarkCheck(b *testing.B) {
	s := newServer(b)
	c := s.client()
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Check(b.Context(), mayAdaRead()); err != nil {
			b.Fatal(err)
		}
	}
}
