# Two commands do everything on a fresh machine: `make demo` runs the main job, `make test` passes the tests.
# Both need Rust 1.95 or newer and a C compiler; the tests also Python 3.10, Node 20, Go 1.25 and a JDK of 17 with Maven for clients in these languages,
# and Debian's Alertmanager, Prometheus, psql and Chromium.

CARGO ?= cargo
export CARGO_TARGET_DIR ?= $(CURDIR)/target

.DEFAULT_GOAL := help
.PHONY: help demo test lint fmt bench-judge bench-ingest bench-wal bench-rollouts bench-pages bench-commits check-deploy check-image check-dashboards check-alerts kill-test build clients

help: ## Says what can be made.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

need-rust:
	@command -v $(CARGO) >/dev/null || { echo "cargo is missing: install Rust 1.95 or newer, see https://rustup.rs" >&2; exit 1; }
	@command -v cc >/dev/null || { echo "a C compiler is missing: on Debian, apt-get install build-essential" >&2; exit 1; }

build: need-rust ## Builds the program.
	$(CARGO) build --locked

demo: need-rust ## Runs the shop, plays good and bad releases, and shows how the verdicts ripen. DEMO="--once" ends after them.
	$(CARGO) run --locked --quiet -- demo $(DEMO)

clients: ## Installs what the tests talk to: SDKs, drivers and deploy tools' own code.
	sh tests/setup.sh

# Where snapshots are is said, because a test program of a target folder that several clones share may have been built in another one.
test: need-rust clients ## Runs all tests, with real SDKs and on real telemetry.
	INSTA_WORKSPACE_ROOT="$(CURDIR)" $(CARGO) test --locked --workspace

kill-test: need-rust ## Kills a server under load again and again, and looks that nothing is lost or doubled. KILLS=200 SEED=1
	KILLS=$(or $(KILLS),200) $(CARGO) test --locked --workspace --test it -- --nocapture kills_at_any_moment

lint: need-rust ## Formatting and clippy, warnings as errors.
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

check-deploy: ## Checks the files in deploy/, each by the schema of the tool that reads it, and the scripts by running them.
	sh deploy/check.sh

check-image: $(if $(BINARY),,build) ## Makes the container images around a program and runs them; by hand, as root, on Debian. BINARY=target/release/haldane
	sh deploy/image_test.sh $(or $(BINARY),$(CARGO_TARGET_DIR)/debug/haldane)

check-dashboards: ## Checks the Grafana dashboards: types, links, grids, and that they are what the generator writes. Needs Node 20.
	cd dashboards && npm ci --silent --no-audit --no-fund && node check.mjs

check-alerts: ## Checks alert rules, their tests and their runbooks. Needs promtool.
	sh alerts/check.sh

fmt: need-rust ## Formats the code.
	$(CARGO) fmt --all

bench-ingest: need-rust ## What a record costs, what the server holds out, and a peer beside it; built for release, by hand. SCENARIO="cost latency" chooses; SCENARIO=against BASELINE=<another build> compares, over WIRE="gRPC zstd" and the like.
	$(CARGO) bench --locked --bench ingest --no-run
	OTLP2PARQUET="$$(sh benches/ingest/peers.sh $(CARGO_TARGET_DIR)/peers)" taskset -c 1 $(CARGO) bench --locked --bench ingest -- $(SCENARIO)

bench-judge: need-rust ## How often the judge is wrong and how soon right, on simulated rollouts, beside Kayenta's; by hand. RUNS=200 TABLE="detection parts only=storms"
	$(CARGO) bench --locked --profile dev --bench judge -- $(or $(RUNS),200) $(TABLE)

bench-wal: need-rust ## What writing a group of the log costs, by the way it is done; by hand.
	$(CARGO) bench --locked --profile dev --bench wal

bench-rollouts: need-rust ## How late verdicts are when many services roll out at once, with QUERIES also beside heavy SQL; built for release, by hand. ROLLOUTS=200 MINUTES=10
	$(CARGO) bench --locked --bench rollouts -- $(or $(ROLLOUTS),200) $(or $(MINUTES),10) $(or $(QUERIES),0)

bench-pages: need-rust clients ## How soon pages show something in a browser, with many rollouts and many operations; built for release, by hand. ROLLOUTS=1000 OPERATIONS=500
	$(CARGO) bench --locked --bench rollouts -- pages $(or $(ROLLOUTS),1000) $(or $(OPERATIONS),500)

bench-commits: need-rust ## Whether commits and planning stay fast over very many commits; built for release, by hand. COMMITS=100000
	$(CARGO) bench --locked --bench commits -- $(or $(COMMITS),100000)
