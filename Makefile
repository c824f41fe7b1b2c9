# The README documents `make run` and `make test`. `make help` lists all targets.

CARGO ?= cargo

.PHONY: quality help setup build run test lint doc book soak cluster bench interop attest deny

help: ## list these targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

setup: ## install libtorch into .libtorch/ (once)
	@ci/setup-libtorch

build: setup ## build the planner and the worker
	$(CARGO) build --locked

run: build ## run the complete pipeline on the embedded default
	$(CARGO) run --locked --quiet -- run all

test: lint doc build ## run all checks and tests: lint, doc, unit and end-to-end tests, attest, the smoke run, the examples, a short interop
	$(CARGO) test --locked --workspace
	ci/attestations/run
	ci/smoke
	ci/examples
	ci/interop/run --quick

lint: setup ## check formatting, clippy lints, and the links of the documentation
	$(CARGO) fmt --all --check
	$(CARGO) fmt --manifest-path ci/book/Cargo.toml --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	ci/check-links

doc: setup book ## build the API documentation and the book; warnings are errors
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --workspace --no-deps

book: ## build the book of docs/ into target/book/html, and check its links
	CARGO_TARGET_DIR=target/book $(CARGO) run --locked --quiet --manifest-path ci/book/Cargo.toml
	ci/check-links --book target/book/html

soak: build ## run the long kill, tamper and fuzz tests, and the tests against an S3 server
	ci/soak

cluster: build ## run complete pipelines as jobs of a Slurm cluster on this machine (needs Debian's slurm-wlm and munge)
	ci/with-slurm $(CARGO) test --locked --test pipeline -- --ignored --test-threads 1 slurm_

bench: build ## compare the speed with DVC and Snakemake, which are installed in .bench/
	$(CARGO) build --locked --workspace --examples
	ci/bench/setup
	python3 ci/bench

interop: build ## compare with PyTorch, ONNX Runtime, Pillow and torchvision, which are installed in .interop/
	ci/interop/run

attest: ## verify signatures with external tools, in both directions; the tools are installed in .attestations/
	ci/attestations/run

quality: build ## compare found networks with random ones of the same latency on real images (hours; see docs/explanation/selection.md)
	python3 ci/quality

deny: ## check licenses, bans and duplicates of the dependencies (needs cargo-deny)
	$(CARGO) deny --offline check licenses bans sources
