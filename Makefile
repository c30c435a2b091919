# Everything needs a Swift 6.3 toolchain, make and git. `run` and `test` install the system packages that are missing on
# Debian and Ubuntu; elsewhere they name them and go on.

SWIFT ?= swift
# What `make run` passes to the program.
ARGS ?= daemon
# Seconds for the long and the short fuzzing.
FUZZ_SECONDS ?= 300
QUICK_FUZZ_SECONDS ?= 20
# Seconds that clients and removals race, in `make full`.
RACE_SECONDS ?= 240
# Seconds of the daemon's soak.
SOAK_SECONDS ?= 600
# Where `make install` puts things: below DESTDIR, to run from PREFIX.
DESTDIR ?=
PREFIX ?= /usr/local

.DEFAULT_GOAL := help
.PHONY: help run build release install deb deb-test image-test test full lint format fuzz race soak sanitize bench clean \
	system-packages test-system-packages environments

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: system-packages ## Build and watch your Hugging Face cache (or a sample), removing nothing; ARGS="verify" for another command
	@Tests/SampleCache/run-on-cache "$(SWIFT)" $(ARGS)

build: ## Debug build
	$(SWIFT) build

release: ## Release build
	$(SWIFT) build -c release --static-swift-stdlib

install: ## Install what 'make release' built, with units, manual and completions, below DESTDIR and PREFIX (/usr/local)
	packaging/install .build/release/hfjanitor "$(DESTDIR)" "$(PREFIX)"

deb: system-packages release ## Build the Debian package, in .build/packages
	packaging/debian/build .build/release/hfjanitor .build/packages

deb-test: deb ## Take the package through its life in fresh systems with a real systemd
	@Tests/Integration/system-packages package
	packaging/debian/test .build/packages/hfjanitor_*.deb

image-test: deb ## Build the container image of the package and run it
	@Tests/Integration/system-packages package
	packaging/container/test .build/packages/hfjanitor_*.deb

test: test-system-packages environments lint ## All checks but the long ones
	python3 -B -m unittest discover Tests/HubStandIn
	$(SWIFT) build
	@if [ -x Tests/Fuzz/run ]; then Tests/Fuzz/run $(QUICK_FUZZ_SECONDS); fi
	HFJANITOR_TESTS_REQUIRE_ALL=1 Tests/run-and-tell $(SWIFT) test

full: test race soak sanitize fuzz deb-test image-test bench ## Everything: also longer races, the soak, sanitizers, fuzzing, the package, benchmarks

lint: ## Style
	$(SWIFT) format lint --strict --recursive Package.swift Sources Tests

format: ## Apply the style
	$(SWIFT) format --in-place --recursive Package.swift Sources Tests

fuzz: ## Fuzz the parsers for FUZZ_SECONDS
	@if [ -x Tests/Fuzz/run ]; then Tests/Fuzz/run $(FUZZ_SECONDS); else echo "fuzz: nothing to run yet"; fi

race: test-system-packages environments ## Real clients against removals for RACE_SECONDS
	$(SWIFT) build
	HFJANITOR_RACE_SECONDS=$(RACE_SECONDS) .build/python/newest/bin/python Tests/RetentionIntegration/proofs.py race \
		--program "$$($(SWIFT) build --show-bin-path)/hfjanitor"

soak: test-system-packages environments ## The daemon beside everything for SOAK_SECONDS
	$(SWIFT) build
	Tests/DaemonIntegration/soak --program "$$($(SWIFT) build --show-bin-path)/hfjanitor" --seconds $(SOAK_SECONDS)

sanitize: test-system-packages environments ## The tests under the address and the thread sanitizer
	LSAN_OPTIONS=suppressions=$(CURDIR)/Tests/leak-sanitizer.supp HFJANITOR_TESTS_REQUIRE_ALL=1 \
		$(SWIFT) test --sanitize address --scratch-path .build/address
	TSAN_OPTIONS=suppressions=$(CURDIR)/Tests/thread-sanitizer.supp HFJANITOR_TESTS_REQUIRE_ALL=1 \
		$(SWIFT) test --sanitize thread --scratch-path .build/thread

bench: ## Benchmarks
	@if [ -x Benchmarks/run ]; then Benchmarks/run; else echo "bench: nothing to run yet"; fi

clean: ## Remove everything that was built or fetched
	rm -rf .build

system-packages: ## Install the libraries a build needs
	@Tests/Integration/system-packages build

test-system-packages: ## Install what the tests need besides
	@Tests/Integration/system-packages build test
	@Tests/Monitoring/promtool prepare

environments: test-system-packages ## Virtual environments with real clients, for the integration tests
	@Tests/Integration/environments
