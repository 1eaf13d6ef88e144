# `make test` is all a change has to pass, `make test-fast` the part of it for daily work; `make demo`
# shows the models at work.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
STAMP := .venv/.installed

export PIP_DISABLE_PIP_VERSION_CHECK ?= 1
# Processes that tests start would compile the package's modules anew, each of them.
unexport PYTHONDONTWRITEBYTECODE

# Two processes of one thread of arithmetic each: tests/scheduling.py deals out the tests. Their
# programs are tiny, so XLA's code is not optimised, which takes longer than to run it; `make slow`
# and pytest by itself leave it to XLA.
PYTEST := XLA_FLAGS="--xla_backend_optimization_level=0 $$XLA_FLAGS" TF_NUM_INTRAOP_THREADS=1 \
  $(BIN)/python -m pytest -m "not slow and not browser" --numprocesses 2 --dist loadfile

.PHONY: setup test test-fast lint docs slow browser-test load-test demo pictures cards lock clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or newer is needed: make PYTHON=..."'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[dev]' --constraint constraints.txt
	touch $@

test: lint docs
	$(PYTEST)

test-fast: lint
	$(PYTEST) --fast

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/render_cards.py --check

# The documentation, into build/site; a broken link or a missing page is an error. No network.
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

slow: setup
	$(BIN)/python -m pytest -m slow

# Needs a Chromium of the system's; nothing of it is downloaded here.
browser-test: setup
	@command -v chromium chromium-browser google-chrome google-chrome-stable > /dev/null || \
	  echo 'No browser was found, so these tests skip: apt-get install chromium'
	$(BIN)/python -m pip install --quiet --editable '.[browser]' --constraint constraints.txt
	ZOO_SCREENSHOTS=build/screenshots $(BIN)/python -m pytest -m browser tests/browser

# 8 clients, 2,000 requests of every kind to `zoo serve`; MODELS='...' chooses others.
MODELS ?= nice_mnist maf_magic
load-test: setup
	$(BIN)/python tools/load_test.py $(MODELS)

demo: setup
	$(BIN)/python tools/demo.py

# README's pictures, from the published weights; the first time it trains eight small flows, minutes.
pictures: setup
	$(BIN)/python tools/demo.py --out docs
	$(BIN)/python tools/energies.py

cards: setup
	$(BIN)/python tools/render_cards.py

lock:
	{ head -2 constraints.txt; uv pip compile pyproject.toml --quiet --extra dev --extra browser --no-header --no-annotate --no-emit-index-url; } > constraints.new
	mv constraints.new constraints.txt

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache build dist
