// Package judges runs what vendors ship for their own systems against the dialects of Writ, unmodified: here the client and the middleware of
// Lerian, github.com/LerianStudio/lib-auth/v2. It is a module of its own, so that none of it is among the product's dependencies.
//
// lib-auth needs lib-commons/v4, for logging, tracing and reading a header. No module proxy gives that out, so a stand-in with just those
// functions is in libcommons: what speaks to Writ, and what decides on its replies, is lib-auth's own code.
package judges
