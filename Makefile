# Everything here works from a fresh checkout with Python >= 3.11 (with venv) and make, nothing else:
#   make demo       the three regimes of verifier-guided retraining, pictures in demo-output/
#   make test       the tests (under 10 minutes on two cores)
#   make test-all   the same and the slow ones
#   make lint       formatting, lint, types
#   make lock       bring requirements.lock in line with pyproject.toml (LOCK_ARGS=--upgrade: newest of everything)
#   make clean      remove everything that make made
# The first of them installs into .venv; later ones only if pyproject.toml or requirements.lock changed.

VENV ?= .venv
WORKERS ?= 2# pytest processes; 0 runs everything in one
PYTEST_ARGS ?=# more options, as in -x or -k radius
# Most of the tests' time is compiling: a third less with this generator of code for CPU, and less optimised,
# than with XLA's defaults, which the demo and CI's second run of the tests use (make test TEST_XLA_FLAGS=).
TEST_XLA_FLAGS ?= --xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=1
DEMO ?= yi-regimes
DEMO_SCALE ?= quick
DEMO_OUT ?= demo-output

# The first of these that is new enough and can make a virtual environment. Set PYTHON to choose another.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$python && break; done)

BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# NumPy's products with one thread: with two, and two test processes on two cores, some take fifty times as long.
PYTEST := XLA_FLAGS="$(TEST_XLA_FLAGS)" OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

.DELETE_ON_ERROR:
.PHONY: demo test test-all lint lock clean venv

demo: $(STAMP)
	$(BIN)/simcollapse reproduce $(DEMO) --scale $(DEMO_SCALE) --out $(DEMO_OUT)
	@echo "The pictures (PNG, SVG) and the data behind them are in $(abspath $(DEMO_OUT)):"
	@find $(DEMO_OUT) -name '*.png' | sort | sed 's/^/  /'

test: $(STAMP)
	$(call run-tests,not slow)

test-all: $(STAMP)
	$(call run-tests,)

# Neural tests need other JAX settings (no float64, standard promotion): a process of their own, without
# the settings of tests/conftest.py.
define run-tests
	$(PYTEST) -m "$(1)" $(PYTEST_ARGS)
	@if [ -d tests/neural ]; then \
		set -x; $(PYTEST) -m "$(1)" --confcutdir=tests/neural $(PYTEST_ARGS) tests/neural; \
	fi
endef

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright --pythonpath $(BIN)/python

lock:
	@test -x $(BIN)/uv || $(MAKE) --no-print-directory venv
	$(BIN)/uv pip compile pyproject.toml --extra dev --extra neural --universal --python-version 3.11 \
		--generate-hashes --custom-compile-command "make lock" --quiet \
		--output-file requirements.lock $(LOCK_ARGS)

clean:
	rm -rf .venv .venv312 $(VENV) $(DEMO_OUT) build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find simcollapse theory tests figures benchmarks -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

venv: $(STAMP)

$(STAMP): pyproject.toml requirements.lock
	@test -n "$(PYTHON)" || { echo "error: no Python >= 3.11 with the venv module found; install one (on Debian" \
		"or Ubuntu also python3-venv), or name it: make PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: PYTHON=$(PYTHON) is not a Python >= 3.11 with the venv module" >&2; exit 1; }
	@echo "Installing into $(VENV): about a minute and 1.7 GB, once."
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
