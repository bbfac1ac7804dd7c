# Every target installs what this machine lacks (scripts/install), says so, and is quick when nothing is missing.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
TOOL     = go tool -modfile=tools/go.mod
GO_TEST  = go test -race -shuffle=on

# What talks to the database, and must do so through a pooler in transaction mode as well.
POOLED   = ./store ./rollout/controller ./server

.DEFAULT_GOAL := help
.PHONY: help dev test check bench prove lint generate build

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

dev: ## run everything on this machine with a demo; flags by ARGS="--empty …", Ctrl-C ends it
	@scripts/install dev
	@$(MAKE) --no-print-directory build
	@exec bin/viridian dev $(ARGS)

test: ## run all tests, with the race detector; those of the database through PgBouncer too
	@scripts/install test
	$(GO_TEST) -timeout 30m ./...
	VIRIDIAN_TEST_PGBOUNCER=1 $(GO_TEST) -timeout 15m $(POOLED)

check: ## run what CI runs: generated files, format, vet, lint, build, test
	@scripts/check

bench: ## measure promote and the builtin router against their floors, and what open pages cost
	@scripts/install bench
	VIRIDIAN_BENCH=1 go test -count=1 -timeout 30m -run '^TestBench' -v ./bench

prove: ## run the proofs (tests named TestProve…) with their full counts
	@scripts/install test
	VIRIDIAN_PROVE=full $(GO_TEST) -count=1 -timeout 120m -run '^TestProve' -v ./...

lint: ## run the linters of .golangci.yml
	$(TOOL) golangci-lint run

generate: ## regenerate what is made from openapi.yaml
	go generate ./...

build: ## build bin/viridian
	go build -ldflags '-X main.version=$(VERSION)' -o bin/viridian .
