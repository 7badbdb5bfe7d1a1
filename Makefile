# Every command of a developer's day. `make help` lists them. What is missing on the machine is
# installed by name when we may (root or sudo), or named in one line with the command that installs it.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

PYTHON ?= python3
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
CONFIG ?= ferrite.toml.example
PYTEST_ARGS ?=
BENCH_ARGS ?=
FUZZ_SECONDS ?= 10
FUZZ_RUNS ?=
FUZZ_TARGETS ?=
SANITIZE_PYTESTS ?= tests/transport tests/differential/test_strings_set.py

VENV := .venv
BIN := $(VENV)/bin
CMAKE := $(BIN)/cmake
CMAKE_ARGS := -S native -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN)/ninja) -DFERRITE_WERROR=ON

# Folders of Python code that exist, and all our C.
PYTHON_DIRS = $(shell for dir in ferrite_py tests benchmarks tools; do \
	if [ -n "$$(find $$dir -name '*.py' -print -quit 2>/dev/null)" ]; then echo $$dir; fi; done)
C_FILES = $(shell find native benchmarks -name '*.c' -o -name '*.h')

# One build at a time in this folder: ninja does not lock, and two terminals are common.
LOCKED = mkdir -p build && exec 9>build/.lock && flock 9 &&

.PHONY: help build run test test-c test-python test-tiers test-tiers-some check check-format check-lint check-types check-c \
	check-generated check-stubs asan tsan fuzz bench bench-c tidy format generate clean locked-build

help: ## list these commands
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | sort | awk -F'\t' '{printf "  make %-16s %s\n", $$1, $$2}'

build: ## make .venv and the extension module; quick when nothing changed
	@$(LOCKED) $(MAKE) --no-print-directory locked-build 9>&-

run: build ## serve with ferrite.toml.example (or CONFIG=file)
	$(BIN)/ferrite-py --config $(CONFIG)

test: build test-c test-python test-tiers-some ## all tests: C, then Python

# Commands on keys that are mapped, or only on disk: those that touch most of the engine here, all with test-tiers.
TIER_TESTS_SOME := test_random_programs test_keys test_transactions test_strings_ranges test_strings_numbers test_hyperloglog

test-tiers-some: build $(VENV)/.extra-test
	@for tier in map disk; do \
		$(BIN)/python -m pytest --quiet --tier $$tier $(TIER_TESTS_SOME:%=tests/differential/%.py) $(PYTEST_ARGS) || exit 1; done

test-tiers: build $(VENV)/.extra-test ## the differential tests with all data mapped, and with all data on disk
	@.ci/need redis-server 'command -v redis-server' redis-server
	@for tier in map disk; do $(BIN)/python -m pytest --quiet --tier $$tier tests/differential $(PYTEST_ARGS) || exit 1; done

test-c: build ## the C tests; builds build/test/libferrite.a, which the house tests inspect
	@$(LOCKED) $(CMAKE) $(CMAKE_ARGS) -B build/test -DCMAKE_BUILD_TYPE=Debug -DFERRITE_TESTS=ON >build/test.log \
		|| { cat build/test.log; exit 1; }
	@$(LOCKED) $(CMAKE) --build build/test -j $(JOBS)
	$(BIN)/ctest --test-dir build/test --output-on-failure -j $(JOBS)

test-python: build $(VENV)/.extra-test ## the Python tests; PYTEST_ARGS selects
	@.ci/need redis-server 'command -v redis-server' redis-server
	$(BIN)/python -m pytest $(PYTEST_ARGS)

check: check-format check-lint check-types check-c check-generated check-stubs ## format, lint, types, generated files, stubs

check-format: $(VENV)/.extra-dev
	$(BIN)/ruff format --check $(PYTHON_DIRS) .ci

check-lint: $(VENV)/.extra-dev
	$(BIN)/ruff check $(PYTHON_DIRS) .ci

check-types: build $(VENV)/.extra-dev $(VENV)/.extra-test $(VENV)/.extra-bench
	$(BIN)/mypy $(PYTHON_DIRS)

check-c: $(VENV)/.extra-dev
	@echo "clang-format --dry-run --Werror: $(words $(C_FILES)) files"
	@mkdir -p build && $(BIN)/clang-format --dry-run --Werror $(C_FILES) 2>build/check-c.log || { head -n 12 build/check-c.log; \
		echo "not laid out (make format does it):"; sed -n 's/^\([^:]*\):[0-9].*error:.*/  \1/p' build/check-c.log | sort -u; exit 1; }

# Skipped only while the generator does not exist.
check-generated: build
	$(if $(wildcard tools/generate.py),$(BIN)/python -m tools.generate --check)

# Skipped only while the extension has no sources.
check-stubs: build $(VENV)/.extra-dev
	$(if $(wildcard native/python/*.c),$(BIN)/stubtest --mypy-config-file pyproject.toml ferrite_py._native)

asan: build $(VENV)/.extra-test ## C tests and tests of the transports under AddressSanitizer and UBSan
	@SANITIZE_PYTESTS='$(SANITIZE_PYTESTS)' JOBS=$(JOBS) .ci/sanitize asan

tsan: build $(VENV)/.extra-test ## C tests and tests of the transports under ThreadSanitizer
	@SANITIZE_PYTESTS='$(SANITIZE_PYTESTS)' JOBS=$(JOBS) .ci/sanitize tsan

fuzz: build ## fuzz all FUZZ_TARGETS for FUZZ_SECONDS (10), or FUZZ_RUNS executions
	@FUZZ_SECONDS=$(FUZZ_SECONDS) FUZZ_RUNS=$(FUZZ_RUNS) FUZZ_TARGETS='$(FUZZ_TARGETS)' JOBS=$(JOBS) .ci/fuzz

bench: build $(VENV)/.extra-test $(VENV)/.extra-bench ## compare with redis-server; BENCH_ARGS selects
	@.ci/need redis-benchmark 'command -v redis-benchmark redis-server' redis-server redis-tools
	@.ci/need fio 'command -v fio' fio || echo "without fio disk reads are not compared with it" >&2
	$(BIN)/python -m benchmarks.run $(BENCH_ARGS)

bench-c: build ## the C benches
	@$(LOCKED) $(CMAKE) $(CMAKE_ARGS) -B build/bench -DFERRITE_BENCH=ON >/dev/null && $(CMAKE) --build build/bench -j $(JOBS)
	@for bench in build/bench/bench/*; do [ ! -x "$$bench" ] || { echo "== $$bench"; "$$bench"; }; done

tidy: test-c ## clang-tidy over the C sources
	@.ci/need clang-tidy 'command -v clang-tidy' clang-tidy
	clang-tidy -p build/test --quiet $$(find native/*/ -maxdepth 1 -name '*.c' -not -path '*/python/*' -not -path '*/fuzz/*' -not -path '*/bench/*')

format: $(VENV)/.extra-dev ## lay out Python and C as `make check` wants it
	$(BIN)/ruff format $(PYTHON_DIRS) .ci
	$(BIN)/ruff check --fix $(PYTHON_DIRS) .ci
	$(BIN)/clang-format -i $(C_FILES)

generate: build ## write the generated files
	$(BIN)/python -m tools.generate

clean: ## remove what was built (and .venv)
	rm -rf build dist $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find ferrite_py tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the environment ------------------------------------------------------------------------------

# The module is refreshed by a rename: a running server keeps the file that it has mapped.
locked-build: $(VENV)/.installed
	@$(CMAKE) --build build/release -j $(JOBS) >build/release.log || { cat build/release.log; exit 1; }
	@for built in build/release/_native.*.so; do \
		installed=$$(echo $(VENV)/lib/python3*/site-packages/ferrite_py)/$${built##*/}; \
		[ ! -e "$$built" ] || cmp -s "$$built" "$$installed" || { \
			mkdir -p "$${installed%/*}" && cp "$$built" "$$installed.new" && mv -f "$$installed.new" "$$installed" && \
			echo "built $${built##*/}"; }; done

# An editable install: Python sources are used where they are; the module goes to site-packages.
$(VENV)/.installed: pyproject.toml native/CMakeLists.txt $(wildcard native/cmake/*) $(wildcard native/python/*.c) | $(VENV)/.extra-build
	@.ci/need "a C compiler" 'command -v cc' gcc libc6-dev
	@.ci/need Python.h '$(BIN)/python -c "import sysconfig, pathlib, sys; sys.exit(not pathlib.Path(sysconfig.get_path(\"include\"), \"Python.h\").exists())"' python3-dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable . \
		--config-settings=build-dir=build/release --config-settings=cmake.define.FERRITE_WERROR=ON
	@touch $@

$(VENV)/.extra-%: pyproject.toml .ci/requirements | $(VENV)/.made
	@$(BIN)/python .ci/requirements $* >$(VENV)/requirements-$*.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement $(VENV)/requirements-$*.txt
	@touch $@

$(VENV)/.made:
	@.ci/need "Python 3.11 or newer" '$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))"' python3
	@.ci/need "Python's venv" '$(PYTHON) -c "import ensurepip, venv"' python3-venv
	$(PYTHON) -m venv $(VENV)
	@touch $@
