# The two commands of the README are `make run` and `make test`; `make help` lists the others.

CARGO ?= cargo

.PHONY: help setup build run test lint doc soak cluster bench interop attest deny

help: ## lists these targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

setup: ## puts libtorch into .libtorch/ (once)
	@ci/setup-libtorch

build: setup ## builds planner and worker
	$(CARGO) build --locked

run: build ## runs the whole pipeline on the embedded default
	$(CARGO) run --locked --quiet -- run all

test: lint doc build ## formats, lints, documents, tests, also with other verifiers, runs the smoke configuration, and a part of `make interop`
	$(CARGO) test --locked --workspace
	ci/attestations/run
	ci/smoke
	ci/interop/run --quick

lint: setup
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

doc: setup
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --workspace --no-deps

soak: build ## kills planner and worker a hundred times each, where `make test` does so a few times
	ci/soak

cluster: build ## runs whole pipelines as jobs of a Slurm cluster on this machine (Debian: slurm-wlm, munge)
	ci/with-slurm $(CARGO) test --locked --test pipeline -- --ignored --test-threads 1 slurm_

bench: build ## measures speed beside DVC and Snakemake, which it installs in .bench/
	$(CARGO) build --locked --workspace --examples
	ci/bench/install-peers
	python3 ci/bench

interop: build ## compares with PyTorch, ONNX Runtime, Pillow and torchvision, which it installs in .interop/
	ci/interop/run

attest: ## signs for other people's verifiers and verifies what they sign; installs them in .attestations/
	ci/attestations/run

deny: ## licences, bans and duplicates of the dependencies (needs cargo-deny)
	$(CARGO) deny --offline check licenses bans sources
