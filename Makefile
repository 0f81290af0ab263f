# Everything needs Go 1.26 and make, and nothing else. `make` lists the targets.
BIN := .build/writ
# No C: the same code on every machine, one static binary, and one build cache for building, testing and linting.
export CGO_ENABLED := 0
# Without a usable git checkout (an archive, another owner) the binary is built without a revision instead of not at all.
VCS := $(shell git rev-parse HEAD >/dev/null 2>&1 || echo -buildvcs=false)

.PHONY: help run build test lint policy e2e bench microbench ci

help: ## list the targets
	@grep -E '^[a-z0-9]+:.*## ' Makefile | sed -E 's/^([a-z0-9]+):.*## /  \1\t/' | expand -t 14

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

lint: ## vet, gofumpt, staticcheck, of the bench build too; golangci-lint where it is installed
	go vet ./...
	go vet -tags bench ./...
	@echo 'go tool gofumpt -l .'; left=$$(go tool gofumpt -l .) && test -z "$$left" || { echo "run go tool gofumpt -w on: $$left"; exit 1; }
	go tool staticcheck ./...
	go tool staticcheck -tags bench ./...

policy: build ## the shipped rules: strict compile, format, tests, coverage, golden decisions
	$(BIN) policy check
	$(BIN) policy test
	go test ./policies/...

e2e: ## journeys against the built binary
	go test -count=1 -v ./e2e

bench: build ## load on the built server against the budgets (Linux, under 5 minutes; ARGS="--scenario PF-02 --json FILE --profile DIR")
	go build $(VCS) -tags bench -ldflags='-s -w' -o .build/writ-bench ./cmd/writ
	go build $(VCS) -o .build/bench ./e2e/bench
	@exec .build/bench $(ARGS)

microbench: ## benchmarks beside the code, with allocations (go test -bench)
	go test -run '^$$' -bench . -benchmem ./...

ci: ## what continuous integration runs
	.ci/run
