// Package http stands in for a package of lib-commons; see commons.
package http

import (
	"strings"

	"github.com/gofiber/fiber/v2"
)

// ExtractTokenFromHeader is the token of the Authorization header, with the word before it or without.
func ExtractTokenFromHeader(c *fiber.Ctx) string {
	fields := strings.Fields(c.Get(fiber.HeaderAuthorization))
	if len(fields) == 2 && strings.EqualFold(fields[0], "bearer") {
		return fields[1]
	}
	if len(fields) == 1 {
		return fields[0]
	}
	return ""
}
