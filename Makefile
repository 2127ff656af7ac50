# `make demo` shows an agent made from this template, `make test` proves the template.
# Both need Python >= 3.11 with pip, git and make; uv is fetched into .uv/ where it is missing.

PYTHON ?= python3
# Where `make demo` puts the agent.
FOLDER ?= demo/weather-agent
# How many random updates `make trials` runs; `make test` runs 12.
TRIALS ?= 300

# Everything that is fetched stays in this checkout, unless the caller says otherwise.
export UV_CACHE_DIR ?= $(CURDIR)/.uv/cache
export UV_PYTHON ?= $(shell $(PYTHON) -c 'import sys; print(sys.executable)')
export UV_PYTHON_DOWNLOADS ?= never
export MLFLOW_DISABLE_TELEMETRY ?= true
export PATH := $(PATH):$(CURDIR)/.uv/bin

UV := $(shell command -v uv || echo .uv/bin/uv)

.PHONY: help demo test trials lint format picture contract benchmark tags release
.DEFAULT_GOAL := help

help:  ## Show this list
	@sed -n 's/^\([a-z]*\):.*## /make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

demo: python $(UV)  ## Make an agent into FOLDER, ask it, log it, verify it
	@UV="$(UV)" scripts/demo.sh "$(FOLDER)"

test: python $(UV) lint  ## Run all tests of the template
	$(UV) run --frozen pytest -n auto

trials: $(UV)  ## Update agents with random edits to random releases, TRIALS times
	UPDATE_TRIALS=$(TRIALS) $(UV) run --frozen pytest -n auto -q tests/updates/test_random.py

lint: $(UV)  ## Check format, style and types of the template's own code
	$(UV) run --frozen ruff format --check
	$(UV) run --frozen ruff check
	$(UV) run --frozen ty check

format: $(UV)  ## Format the template's own code
	$(UV) run --frozen ruff check --fix
	$(UV) run --frozen ruff format

picture: $(UV)  ## Draw the README's pictures anew, from real sessions and measurements
	$(UV) run --frozen python docs/draw_demo.py
	$(UV) run --frozen python -m docs.draw_chat_page
	$(UV) run --frozen python -m docs.draw_serve

contract: $(UV)  ## Write docs/contract.md anew, with what MLflow alone notices
	$(UV) run --frozen python -m docs.write_contract

benchmark: $(UV)  ## Measure the first minute, an update, and the server under load
	$(UV) run --frozen python benchmarks/first_minute.py
	$(UV) run --frozen python benchmarks/update.py
	$(UV) run --frozen python -m benchmarks.serve

tags:  ## Create the tags of all releases, in a clone that lacks them
	@scripts/tags.sh

release:  ## Test the last commit, record and tag it: make release VERSION=1.2.3
	@MAKE="$(MAKE)" scripts/release.sh "$(VERSION)"

.PHONY: python
python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'Python 3.11 or newer is needed: make PYTHON=/path/to/python3.12 …' >&2; exit 1; }

.uv/bin/uv: | python
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-cache-dir --target .uv uv
