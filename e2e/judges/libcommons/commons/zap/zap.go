// Package zap stands in for a package of lib-commons; see commons.
package zap

import "github.com/LerianStudio/lib-commons/v4/commons/log"

// Environment is where a service runs.
type Environment string

// The environments that there are.
const (
	EnvironmentLocal       Environment = "local"
	EnvironmentDevelopment Environment = "development"
	EnvironmentUAT         Environment = "uat"
	EnvironmentStaging     Environment = "staging"
	EnvironmentProduction  Environment = "production"
)

// Config says what a logger is like.
type Config struct {
	Environment     Environment
	OTelLibraryName string
}

// New returns a logger.
func New(Config) (log.Logger, error) { return log.NewNop(), nil }
