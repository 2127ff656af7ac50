# `make demo` makes an agent and shows it; `make test` tests the template.
# Both need Python >= 3.11 with pip, git and make. Everything else is installed by the targets:
# uv into .uv/ unless it is on PATH, and Chromium for the tests of the chat page.

PYTHON ?= python3
# The uv that is installed; CI and the image of an agent use the same version.
UV_VERSION := 0.13.9
# Where `make demo` puts the agent.
FOLDER ?= demo/weather-agent
# How many random updates `make trials` runs; `make test` runs 12.
TRIALS ?= 1000

# Downloads stay in this checkout unless these variables are set already.
export UV_CACHE_DIR ?= $(CURDIR)/.uv/cache
export UV_PYTHON ?= $(shell $(PYTHON) -c 'import sys; print(sys.executable)')
export UV_PYTHON_DOWNLOADS ?= never
export PLAYWRIGHT_BROWSERS_PATH ?= $(CURDIR)/.uv/browsers
export MLFLOW_DISABLE_TELEMETRY ?= true
export PATH := $(PATH):$(CURDIR)/.uv/bin

UV := $(shell command -v uv || echo .uv/bin/uv)
# The number of cores plus two, because many tests wait for servers.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print((os.cpu_count() or 1) + 2)')
PYTEST = "$(UV)" run --frozen pytest -n $(WORKERS) --dist worksteal --durations=15

.PHONY: help demo test proof trials lint format picture contract benchmark tags release browser uv
.DEFAULT_GOAL := help

help:  ## Show this list
	@sed -n 's/^\([a-z]*\):.*## /make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

demo: python uv  ## Make an agent in FOLDER, ask it a question, log it and verify it
	@UV="$(UV)" scripts/demo.sh "$(FOLDER)"

test: python lint browser  ## Run all tests of the template
	$(PYTEST)

proof: python uv  ## Run the slow tests: every Python, MLflow and release, adopting, the image
	$(PYTEST) -m proof

trials: uv  ## Run TRIALS random updates: random edits by owners, random releases
	UPDATE_TRIALS=$(TRIALS) $(PYTEST) -q tests/updates/test_random.py tests/updates/test_random_merges.py

lint: uv  ## Check formatting, style and types of the template's own code
	"$(UV)" run --frozen ruff format --check
	"$(UV)" run --frozen ruff check
	"$(UV)" run --frozen ty check

format: uv  ## Format the template's own code
	"$(UV)" run --frozen ruff check --fix
	"$(UV)" run --frozen ruff format

picture: browser  ## Redraw the README's pictures from real sessions and measurements
	"$(UV)" run --frozen python docs/draw_demo.py
	"$(UV)" run --frozen python -m docs.draw_chat_page
	"$(UV)" run --frozen python -m docs.draw_serve

contract: uv  ## Rewrite docs/contract.md, and measure what MLflow alone notices
	"$(UV)" run --frozen python -m docs.write_contract

benchmark: uv  ## Measure the first minute, an update, the server, the frameworks, and batches
	"$(UV)" run --frozen python -m benchmarks.first_minute
	"$(UV)" run --frozen python -m benchmarks.update
	"$(UV)" run --frozen python -m benchmarks.serve
	"$(UV)" run --frozen python -m benchmarks.frameworks
	"$(UV)" run --frozen python -m benchmarks.batch

tags:  ## Create the tags of all releases, in a clone that lacks them
	@scripts/tags.sh

release:  ## Test the last commit, record and tag it: make release VERSION=1.2.3
	@MAKE="$(MAKE)" scripts/release.sh "$(VERSION)"

browser: uv  ## Install Chromium for the chat page's tests, unless there is one
	@UV="$(UV)" scripts/browser.sh

uv: $(filter .uv/bin/uv,$(UV))  ## Install uv into .uv/, unless it is on PATH

.PHONY: python
python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'error: Python 3.11 or newer is needed' >&2; \
		  echo 'hint: name one, such as make PYTHON=/path/to/python3.12 test' >&2; exit 1; }

# The first three settings conflict with --target.
.uv/bin/uv: | python
	PIP_REQUIRE_VIRTUALENV=0 PIP_USER=0 PIP_PREFIX= $(PYTHON) -m pip install --quiet \
		--disable-pip-version-check --root-user-action=ignore --no-cache-dir \
		--target .uv uv==$(UV_VERSION)
