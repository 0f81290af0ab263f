# Everything needs Go 1.26 and make, and nothing else. `make` lists the targets.
BIN := .build/writ
FUZZTIME ?= 30s
IMAGE ?= writ:dev
# No C: the same code on every machine, one static binary, and one build cache for building, testing and linting.
export CGO_ENABLED := 0
# gin brings MessagePack, a tenth of the binary, and nothing here speaks it.
TAGS := nomsgpack
export GOFLAGS := $(strip $(GOFLAGS) -tags=$(TAGS))
# The tests that are named by a row of the requirements of OAuth or of security; they run on each store.
ROWS := ^Test([TPRJIVBMAF]|ST|SJ|SP|SA|SO|SL)[0-9]
# The rules of which no mutant survives: all that are shipped.
RULES ?= ^(writ|apps)\.
# Without a usable git checkout (an archive, another owner) the binary is built without a revision instead of not at all.
VCS := $(shell git rev-parse HEAD >/dev/null 2>&1 || echo -buildvcs=false)
# Tests make much garbage and soon end: to collect it less often saves a quarter of their CPU time, for some hundred megabytes.
PACE := GOGC=300
# The journeys on one store; those that only wait for real time to pass wait together.
JOURNEYS := go test -count=1 -timeout 40m -parallel 8 -v ./e2e
# The client module and the one for gin; its journey runs against a server and says how.
CLIENT := go test -count=1 -skip "^TestJourney$$" ./...; go test -count=1 -v -run "^TestJourney$$" .; cd clientgin; go test -count=1 ./...
# Where systems keep the certificate authorities that they trust; the image gets those of the machine that builds it.
AUTHORITIES := $(firstword $(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem))

.PHONY: help run build image test lint policy mutate e2e containers bench microbench fuzz faults ci

help: ## list the targets
	@grep -E '^[a-z0-9]+:.*## ' Makefile | sed -E 's/^([a-z0-9]+):.*## /  \1\t/' | expand -t 14

run: build ## try it: demo data, embedded store, curl lines to paste (ARGS="--listen 127.0.0.1:9080" for flags)
	@exec $(BIN) dev $(ARGS)

build: ## one static binary in .build/
	go build $(VCS) -ldflags='-s -w' -o $(BIN) ./cmd/writ

image: ## the image (IMAGE=writ:dev); nothing is pulled
	rm -rf .build/image && mkdir -p .build/image/data .build/image/certs && touch .build/image/data/.keep .build/image/certs/.keep
	GOOS=linux go build $(VCS) -ldflags='-s -w' -o .build/image/writ ./cmd/writ
	@test -n '$(AUTHORITIES)' && cp '$(AUTHORITIES)' .build/image/certs/ca-certificates.crt || \
		echo 'image: no certificate authorities found here: mount some, see docs/operations.md'
	docker build --file deploy/Dockerfile --tag $(IMAGE) .build/image

test: lint ## everything this machine can run without containers: lint, Go, Rego, a little fuzzing, e2e on both stores
	@command -v curl >/dev/null 2>&1 || echo 'curl: not here; the curl lines of writ dev and of the documents are not run'
	.ci/beside '$(PACE) go test -timeout 30m $$(go list ./... | grep -v -e /e2e$$ -e /storage/mongo$$)' \
		'export $(PACE); go test -count=1 -timeout 30m -v ./storage/mongo; WRIT_TEST_STORE=mongo go test -count=1 -timeout 30m -v -run "$(ROWS)" ./oauth ./identity' \
		'cd e2e/mongowire; go test ./...; cd ../manifests; go test ./...; cd ../judges; go test -count=1 ./...; cd ../clients; go test -count=1 -v ./...; cd ../../oauth/client; $(CLIENT)' \
		'.ci/fuzz 2000x'
	$(PACE) E2E_REQUIRE_CONTAINERS= E2E_RUNNER=process .ci/beside 'E2E_STORE=sqlite $(JOURNEYS)' 'E2E_STORE=mongo $(JOURNEYS)'
	@if [ "$$E2E_REQUIRE_CONTAINERS" = 1 ]; then $(MAKE) containers; else \
		echo 'containers: not in make test; make containers runs them where a Docker engine answers'; fi

lint: ## vet, gofumpt, staticcheck, of the bench build too; golangci-lint where it is installed
	go vet ./...
	go vet -tags bench,$(TAGS) ./...
	cd e2e/mongowire && go vet ./...
	cd e2e/clients && go vet ./...
	cd e2e/manifests && go vet ./...
	cd e2e/judges && go vet ./... && cd libcommons && go vet ./...
	cd oauth/client && go vet ./...
	cd oauth/client/clientgin && go vet ./...
	@echo 'go tool gofumpt -l .'; left=$$(go tool gofumpt -l .) && test -z "$$left" || { echo "run go tool gofumpt -w on: $$left"; exit 1; }
	go tool staticcheck ./...
	go tool staticcheck -tags bench,$(TAGS) ./...
	staticcheck=$$(go tool -n staticcheck) && cd oauth/client && $$staticcheck ./... && cd clientgin && $$staticcheck ./...

policy: build ## the shipped rules: strict compile, format, tests, coverage, golden decisions
	$(BIN) policy check
	$(BIN) policy test
	go test ./policies/...

mutate: build ## mistakes in the shipped rules, one at a time, that no test notices (minutes; RULES=writ.admin for some of them)
	$(BIN) policy mutate --golden policies/testdata/decisions --rules '$(RULES)' $(ARGS)

e2e: ## journeys against the built binary (E2E_STORE=mongo: on MongoDB, WRIT_TEST_MONGODB_URI or the stand-in)
	go test -count=1 -v ./e2e

containers: ## the same journeys against the image, on MongoDB or the stand-in, in containers
	E2E_RUNNER=container E2E_REQUIRE_CONTAINERS=1 go test -count=1 -timeout 40m -v ./e2e

bench: build ## load on the built server against the budgets (Linux, ten minutes; ARGS="--scenario PF-02 --markdown FILE --json FILE --profile DIR"; --scenario PI-02,PD-03 --seeded DIR for up to a million users)
	go build $(VCS) -tags bench,$(TAGS) -ldflags='-s -w' -o .build/writ-bench ./cmd/writ
	go build $(VCS) -o .build/bench ./e2e/bench
	@exec .build/bench $(ARGS)

microbench: ## benchmarks beside the code, with allocations (go test -bench)
	go test -run '^$$' -bench . -benchmem ./...

fuzz: ## each fuzz target for FUZZTIME=30s (or 2000x), with its executions; a finding stays in testdata/fuzz
	WRIT_FUZZ_CORPUS=.build/fuzz .ci/fuzz $(FUZZTIME)

faults: ## what happens when parts fail, as a table of figures (half an hour; WRIT_FAULTS=short FAULTS=wire for less)
	@.ci/faults

ci: ## what continuous integration runs
	.ci/run
