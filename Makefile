# The commands of the project. `make help` lists them.

SHELL := /bin/bash
.DEFAULT_GOAL := help
export CARGO_TERM_COLOR ?= never

KYBERN := target/release/kybern

.PHONY: help
help: ## Lists these commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.PHONY: tools
tools: ## Installs what the build and the tests need (Debian; needs root)
	deploy/install-tools.sh

.PHONY: lint-tools
lint-tools:
	deploy/install-tools.sh --lint

.PHONY: build
build: ## Builds everything in release mode
	cargo build --release --workspace --bins

.PHONY: up
up: ## Starts the control plane in one process, runs deploy/examples on it, and shows how to go on
	deploy/up.sh

.PHONY: down
down: ## Stops what `make up` started
	deploy/down.sh

.PHONY: cluster
cluster: ## The same on real processes: etcd, API server, scheduler, controller manager, three kubelets
	deploy/cluster.sh up

.PHONY: cluster-down
cluster-down: ## Stops what `make cluster` started
	deploy/cluster.sh down

.PHONY: test
test: tools ## Runs all tests
	tests/run.sh

.PHONY: lint
lint: lint-tools ## Formatting, lints, dependency policy
	cargo fmt --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo deny --log-level error check bans licenses sources

# Built once and thrown away: without what makes the next build quick and backtraces exact, it takes half the disk.
ci: export CARGO_INCREMENTAL := 0
ci: export CARGO_PROFILE_DEV_DEBUG := none
.PHONY: ci
ci: lint test ## What every change must pass

.PHONY: perf
perf: ## Measures what README.md has figures of; takes two minutes and both processors
	tests/perf/run.sh
