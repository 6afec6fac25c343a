# The two commands to know are `make run` and `make test`; both set up first what they need.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.runtime-is-installed
DEV := $(VENV)/.dev-is-installed
KAFKA := .services/kafka/.is-there
WORKERS := 2
PACKAGES := ledger projections api consumers commands

# Not compiled ahead: what is imported is compiled then, and most of it never is.
INSTALL := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input install --no-compile --no-deps
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--custom-compile-command "make lock" $(UPGRADE) pyproject.toml --group build

.PHONY: help setup run test check lint format bench services kafka screenshots lock clean debian-packages

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup: $(DEV) ## Make .venv with the command licensing-ledger and all tools, from locked versions.

run: $(RUNTIME) ## Start the ledger with the sandbox Marketplace and a sample customer.
	@$(BIN)/licensing-ledger serve --sandbox

# The tests run even where lint finds something, so that one run tells everything. They wait much for servers, so
# that two at once take little more than half of the time.
test: $(DEV) ## Everything: lint, types, architecture, all tests; WORKERS=n at once.
	@$(MAKE) --no-print-directory lint; lint=$$?; $(BIN)/pytest --numprocesses $(WORKERS) && exit $$lint

check: lint ## The quick part of test: lint, types, architecture, unit tests.
	$(BIN)/pytest --numprocesses $(WORKERS) tests/unit

lint: $(DEV) ## Style, formatting, types and architecture.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(DEV) ## Format the code and mend what can be mended.
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

bench: $(DEV) ## Measure the ledger against its peers.
	$(BIN)/python -m bench

services: debian-packages $(DEV) $(KAFKA) ## Start PostgreSQL and Kafka until Ctrl-C and print the settings to reach them.
	@$(BIN)/python -m tests.services

kafka: $(KAFKA) ## Fetch by Maven what Kafka runs on in the tests; without it those are skipped.

screenshots: $(DEV) ## Take a picture of every page.
	$(BIN)/python -m tests.screenshots

lock: $(DEV) ## Lock the versions that pyproject.toml allows; UPGRADE=--upgrade takes the newest.
	$(COMPILE) --output-file requirements/runtime.txt
	$(COMPILE) --group dev --constraints requirements/runtime.txt --output-file requirements/dev.txt

clean: ## Remove .venv and all that tools made.
	rm -rf $(VENV) .services build dist test-results .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find $(PACKAGES) tests bench -name __pycache__ -prune -exec rm -rf {} +

# Without pip, .venv is not there yet, was left half made, or its Python is gone.
$(RUNTIME): requirements/runtime.txt pyproject.toml
	@$(BIN)/python -c "import pip" 2>/dev/null || { python=$$(.ci/find-python) && \
		echo "Making $(VENV) with $$python" && $$python -m venv --clear $(VENV); }
	@echo "Installing what the ledger runs on"
	@$(INSTALL) --require-hashes --requirement $<
	@$(INSTALL) --no-build-isolation --editable .
	@touch $@

$(DEV): requirements/dev.txt $(RUNTIME)
	@echo "Installing what the tests and checks need"
	@$(INSTALL) --require-hashes --requirement $<
	@touch $@

$(KAFKA): tests/services/kafka-pom.xml | debian-packages
	@echo "Fetching what Kafka runs on"
	@rm -rf $(@D)
	@mvn --batch-mode --quiet --file $< dependency:copy-dependencies -DoutputDirectory=$(CURDIR)/$(@D)
	@touch $@

debian-packages:
	@lacking=$$(.ci/lacking-services | xargs); [ -z "$$lacking" ] || { \
		echo "licensing-ledger: the servers of the tests are not all here; get them with: apt-get install $$lacking" >&2; exit 1; }
