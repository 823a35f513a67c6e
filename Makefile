# Every entry point of the house. `make help` lists them.
SHELL := /bin/sh
.DEFAULT_GOAL := help

GO ?= go
BIN := bin/tidegate
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X github.com/tidegate/tidegate/internal/version.number=$(VERSION)
TOOL := $(GO) tool -modfile=hack/tools/go.mod
# The race detector needs a C compiler; a machine without one still runs every test.
RACE ?= $(shell command -v "$$($(GO) env CC)" >/dev/null 2>&1 && echo -race)
FUZZTIME ?= 20s
BENCH ?= .
PKGS ?= ./...
# Property tests draw the same cases every time, so that a red run is the change's fault; SEED=0 explores.
SEED ?= 20261124
DEMO ?=
BACKTEST ?=
# CLUSTER=kind takes kind instead of the local cluster, for cluster-up, -down and -status only: it brings Kubernetes and KEDA, no
# Redis, no Kafka and no end-to-end tests. PROFILE=no-tolerance has an autoscaler that ignores small steps.
CLUSTER ?= local
PROFILE ?= default
RUN ?=
# FRESH=yes begins with an empty cluster instead of the one that runs.
FRESH ?=
export CLUSTER PROFILE FRESH

.PHONY: help
help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build the one binary, static, into bin/
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) .

.PHONY: demo
demo: build ## the main job on this machine in two minutes, only Go needed (DEMO="--chaos --keep" for more)
	./$(BIN) demo $(DEMO)

.PHONY: backtest
backtest: build ## every policy on every built-in trace, side by side (BACKTEST="--trace ramp --seed 1 --html report.html")
	./$(BIN) backtest $(BACKTEST)

.PHONY: test
test: ## every unit, property and in-process test (with the race detector where a C compiler is found)
	GO="$(GO)" hack/test.sh $(SEED) $(RACE) -timeout 9m $(PKGS)

.PHONY: cluster
cluster:
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/cluster ./hack/cluster

.PHONY: cluster-up
cluster-up: cluster ## a real Kubernetes with KEDA, Redis and Kafka on this Linux machine, as root (PROFILE=no-tolerance, FRESH=yes)
	bin/cluster up $(if $(FRESH),--fresh) --profile $(PROFILE)

.PHONY: cluster-down
cluster-down: cluster ## stop the cluster; nothing stays behind but the cache of built programs
	bin/cluster down

.PHONY: cluster-status
cluster-status: cluster ## what runs, where its logs are, what is wrong
	bin/cluster status

.PHONY: e2e
e2e: build cluster ## the short end-to-end tests on the real cluster (RUN=regexp picks tests)
	GO="$(GO)" hack/e2e.sh '$(or $(RUN),^TestShort)' 20m

.PHONY: e2e-full
e2e-full: build cluster ## every end-to-end test but the faults
	GO="$(GO)" hack/e2e.sh '$(or $(RUN),^Test(Short|Full))' 90m
	$(if $(RUN),,$(MAKE) e2e-no-tolerance)

.PHONY: e2e-no-tolerance
e2e-no-tolerance: build cluster ## steps land on an HPA that ignores small ones (begins with an empty cluster)
	GO="$(GO)" PROFILE=no-tolerance FRESH=yes hack/e2e.sh '$(or $(RUN),^TestProfile)' 30m

.PHONY: faults
faults: build cluster ## the rows of the fault table that need real processes to die
	GO="$(GO)" hack/e2e.sh '$(or $(RUN),^TestFault)' 90m

.PHONY: lint
lint: ## golangci-lint, gofumpt, go mod tidy and known vulnerabilities
	$(TOOL) golangci-lint run $(PKGS)
	$(GO) mod tidy -diff
	hack/vulnerabilities.sh $(TOOL) govulncheck $(PKGS)

.PHONY: fmt
fmt: ## format every Go file
	$(TOOL) gofumpt -l -w $$(git ls-files '*.go')

.PHONY: bench
bench: ## every benchmark, with allocations (BENCH=regexp, PKGS=./balancer/...)
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem $(PKGS)

.PHONY: fuzz
fuzz: ## each fuzz target for FUZZTIME (20s)
	GO="$(GO)" FUZZTIME=$(FUZZTIME) hack/fuzz.sh
