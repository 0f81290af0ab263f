package oauth

import (
	"github.com/go-jose/go-jose/v4"
	"github.com/ory/fosite"
)

// FositeConfig shows the configuration to the test that walks its fields.
func FositeConfig(s *Server) *fosite.Config { return s.provider.Config.(*fosite.Config) }

// DenialCode shows the table from reason code to reply.
func DenialCode(grant, reason string) string { return denialCode(grant, reason) }

// SignIntrospection signs as replies of the introspection endpoint are.
func SignIntrospection(s *Server, payload []byte) (string, error) {
	return s.keys.current.Load().introspectionSigner().sign(payload)
}

// ParseKeySet shows the reading of key sets to the fuzzer.
func ParseKeySet(body []byte) ([]jose.JSONWebKey, error) { return parseKeySet(body) }
