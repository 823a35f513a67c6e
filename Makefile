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

.PHONY: help
help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build the one binary, static, into bin/
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) .

.PHONY: demo
demo: build ## the main job on this machine in two minutes, only Go needed (DEMO="--chaos --keep" for more)
	./$(BIN) demo $(DEMO)

.PHONY: test
test: ## every unit, property and in-process test (with the race detector where a C compiler is found)
	GO="$(GO)" hack/test.sh $(SEED) $(RACE) -timeout 9m $(PKGS)

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
