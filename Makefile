# Everything needs Go 1.26 and make, and nothing else. `make` lists the targets.
BIN := .build/writ
# No C: the same code on every machine, one static binary, and one build cache for building, testing and linting.
export CGO_ENABLED := 0
# Without a usable git checkout (an archive, another owner) the binary is built without a revision instead of not at all.
VCS := $(shell git rev-parse HEAD >/dev/null 2>&1 || echo -buildvcs=false)

.PHONY: help run build test lint policy e2e bench ci

help: ## list the targets
	@grep -E '^[a-z0-9]+:.*## ' Makefile | sed -E 's/^([a-z0-9]+):.*## /  \1\t/' | expand -t 12

run: build ## try it: demo data, embedded store, curl lines to paste (ARGS="--listen 127.0.0.1:9080" for flags)
	@exec $(BIN) dev $(ARGS)

build: ## one static binary in .build/
	go build $(VCS) -ldflags='-s -w' -o $(BIN) ./cmd/writ

test: lint ## everything this machine can run: lint, Go, Rego, e2e
	@command -v docker >/dev/null 2>&1 && echo 'containers: docker is here and not used; container tests come with the MongoDB store' || \
		echo 'containers: no docker; nothing is left out, container tests come with the MongoDB store'
	@command -v curl >/dev/null 2>&1 || echo 'curl: not here; the curl lines of writ dev and of the documents are not run'
	go test $$(go list ./... | grep -v /e2e$$)
	go test -count=1 -v ./e2e

lint: ## vet, gofumpt, staticcheck; golangci-lint where it is installed
	go vet ./...
	@echo 'go tool gofumpt -l .'; left=$$(go tool gofumpt -l .) && test -z "$$left" || { echo "run go tool gofumpt -w on: $$left"; exit 1; }
	go tool staticcheck ./...

policy: build ## the shipped rules: strict compile, format, tests, coverage, golden decisions
	$(BIN) policy check
	$(BIN) policy test
	go test ./policies/...

e2e: ## journeys against the built binary
	go test -count=1 -v ./e2e

bench: ## benchmarks beside the code, with allocations
	go test -run '^$$' -bench . -benchmem ./...

ci: ## what continuous integration runs
	.ci/run
