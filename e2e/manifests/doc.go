// Package manifests holds what is below deploy/ to the schemas of those who read it: Kubernetes' own types, and Prometheus' own parsers. It is a
// module of its own, so that neither is among the product's dependencies.
package manifests
