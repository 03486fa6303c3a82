# Every target is one line into cargo or tests/run.sh, where the logic is.
.DEFAULT_GOAL := help
.PHONY: help test test-sqlite crash upgrade selftest bench schema guides clients audit chart chart-snapshots image-size deny sbom fmt lint clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

test: ## Everything CI runs: lints, contract, tests on SQLite and Postgres + Redis, demo, short crash run and bench, chart
	@tests/run.sh test

test-sqlite: ## The tests on SQLite only, without any service
	@tests/run.sh test-sqlite

crash: ## 20,000 intents under 30 seeded faults, three seeds, release build (CRASH_SEEDS="1 2 3")
	@tests/run.sh crash

upgrade: ## A migration and a rolling restart under load, of which nobody may notice anything, release build
	@tests/run.sh upgrade

selftest: ## Seeds known bugs one by one and expects the harness to catch each
	@tests/run.sh selftest

bench: ## Figures against their references, release build (BENCH="import send")
	@tests/run.sh bench $(BENCH)

schema: ## Regenerate what is generated of frontend-contract
	@tests/run.sh schema

guides: ## Type the commands of the guides for operators
	@tests/run.sh guides

clients: ## GraphQL clients from npm and PyPI, compiled against the contract and run against the server
	@tests/run.sh clients

audit: ## The same, and the report frontend-contract/graphql-http-audit.md is written anew
	@AUDIT=write tests/run.sh clients

chart: ## Check the chart, Dockerfile and compose.yaml: lint, snapshots, refusals, Kubernetes' schemas, settings
	@tests/run.sh chart

chart-snapshots: ## Regenerate helm/ci/snapshots
	@tests/chart.sh snapshots

image-size: ## Build the executable as the image does, and weigh what would be in it
	@tests/image.sh size

sbom: ## What the executable is made of, as CycloneDX: target/carillon.cdx.json (cargo install cargo-cyclonedx)
	@tests/run.sh sbom

deny: ## Licences, sources and advisories of all dependencies
	@tests/run.sh deny

fmt: ## Format the code
	cargo fmt --all

lint: ## Formatting and clippy, warnings denied
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

clean: ## Remove build results and the embedded mode's data
	cargo clean
	rm -rf data
