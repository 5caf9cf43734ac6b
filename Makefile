# vendorwatch. `make demo` and `make test` do all the set-up on a fresh Debian machine with a Rust
# toolchain; `make help` lists the rest.

CARGO ?= cargo
PREFIX ?= /usr
DESTDIR ?=
# Seconds for each fuzz entry, and which: all when none is named.
FUZZ_SECONDS ?= 60
FUZZ_ENTRIES ?=

.PHONY: help deps build release demo test fuzz kernels corpus golden bench bench-peers bench-live record bpf generate check-dashboard install clean

help: ## what there is to make
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 17

deps: ## install the packages that build, demo and test need
	scripts/deps.sh test

# What `--version` and vendorwatch_build_info say that a binary was built from.
build release: export VENDORWATCH_REVISION ?= $(or $(shell git describe --always --dirty --exclude '*' --abbrev=12 2>/dev/null),unknown)

build: ## the release binary, compiled once
	@scripts/deps.sh build
	$(CARGO) build --release --locked

release: ## the binary that `install` installs: compiled again by what it was seen to do
	@scripts/deps.sh release
	scripts/release.sh

demo: ## read real captures, then run live on a veth pair and show the scrape
	@scripts/deps.sh demo
	$(CARGO) build --locked
	@scripts/demo.sh

test: ## everything: fmt, clippy, documentation, unit, property, corpus, end to end
	@scripts/deps.sh test
	$(CARGO) fmt --check
	$(CARGO) fmt --check --manifest-path tests/fuzz/Cargo.toml
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) clippy --locked --no-default-features -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --no-deps
	$(CARGO) test --locked
	@if [ $$(id -u) = 0 ]; then \
	    $(CARGO) test --locked --test tests -- --ignored live::; \
	else \
	    echo '*** NOT RUN: the live tests (tests/live) need root for namespaces and packet sockets' >&2; \
	fi

kernels: ## boot the kernels of Debian 12 and 13 in a virtual machine and load the programs there (root)
	@scripts/deps.sh kernels
	scripts/kernels.sh

fuzz: ## run each fuzz entry for FUZZ_SECONDS=60, or those of FUZZ_ENTRIES alone
	@scripts/deps.sh fuzz
	scripts/fuzz.sh $(FUZZ_SECONDS) $(FUZZ_ENTRIES)

corpus: ## compare names with the independent dissector's, difference by difference
	@scripts/deps.sh build
	$(CARGO) test --locked --test tests -- --nocapture corpus

golden: ## make the golden outputs again (read the difference before you commit it)
	VENDORWATCH_BLESS=1 $(CARGO) test --locked --test tests -- golden

bench: ## criterion benchmarks of each stage
	@scripts/deps.sh bench
	$(CARGO) bench --locked

bench-peers: ## beside the bare limits and the peers that are installed: ratios
	@scripts/deps.sh bench
	benches/peers.py

bench-live: ## capture beside the bare limits on a veth pair of its own (root): ratios
	@scripts/deps.sh bench
	benches/live/live.py

record: ## record the project's own captures again
	@scripts/deps.sh test
	scripts/record.sh

bpf: ## compile the in-kernel programs again (clang 14); the objects are committed
	scripts/bpf.sh

generate: ## write the generated files again: rules, dashboard, unit, default configuration, tables
	VENDORWATCH_BLESS=1 $(CARGO) test --locked --test tests -- generated examples_of_the_manual

check-dashboard: ## the dashboard against Grafana's own types (needs npm)
	scripts/check_dashboard.sh

install: release ## binary, unit, configuration, rules and dashboard under $(DESTDIR)$(PREFIX)
	install -D -m 755 target/trained/vendorwatch $(DESTDIR)$(PREFIX)/bin/vendorwatch
	install -D -m 644 systemd/vendorwatch.service $(DESTDIR)/lib/systemd/system/vendorwatch.service
	sed -i 's|=/usr/bin/vendorwatch |=$(PREFIX)/bin/vendorwatch |' $(DESTDIR)/lib/systemd/system/vendorwatch.service
	install -D -m 644 systemd/vendorwatch.toml $(DESTDIR)$(PREFIX)/share/vendorwatch/vendorwatch.toml
	[ -e $(DESTDIR)/etc/vendorwatch/vendorwatch.toml ] || \
	    install -D -m 644 systemd/vendorwatch.toml $(DESTDIR)/etc/vendorwatch/vendorwatch.toml
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/vendorwatch/prometheus prometheus/*.yml
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/vendorwatch/grafana grafana/*.json
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/vendorwatch/signatures signatures/*.toml
	target/trained/vendorwatch generate man | gzip -9n > vendorwatch.1.gz
	install -D -m 644 vendorwatch.1.gz $(DESTDIR)$(PREFIX)/share/man/man1/vendorwatch.1.gz
	rm -f vendorwatch.1.gz

clean: ## what was built
	$(CARGO) clean
