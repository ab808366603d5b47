# Each target makes the virtual environment it needs: only python3, make and git
# have to be there. PORT, PYTHON and VENV can be set on the command line.
PYTHON ?= python3
VENV ?= .venv
PORT ?= 8000
BIN := $(VENV)/bin
# Jupyter wants to be told that it is root on purpose, as in a container.
AS_ROOT := $(shell [ "$$(id -u)" = 0 ] && echo --allow-root)

.DEFAULT_GOAL := help
.PHONY: help install start start-prod lab demo notebooks test test-clients test-soak \
	test-install test-real bench check format kill clean

help: ## show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.base: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.lab: $(VENV)/.base
	$(BIN)/python -m pip install --quiet --editable '.[lab]'
	@touch $@

$(VENV)/.dev: $(VENV)/.base
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

install: $(VENV)/.base ## install the gateway into .venv

start: $(VENV)/.base ## the gateway alone on port 8000, reloading on changes
	$(BIN)/jupyter claude-gateway $(AS_ROOT) --port=$(PORT) --autoreload

start-prod: $(VENV)/.base ## the gateway alone on port 8000
	$(BIN)/jupyter claude-gateway $(AS_ROOT) --port=$(PORT)

lab: $(VENV)/.lab ## JupyterLab with the gateway
	$(BIN)/jupyter lab $(AS_ROOT)

demo: $(VENV)/.lab ## JupyterLab with canned answers: no login needed
	@mkdir -p build/demo && cp -R notebooks build/demo/  # the checkout stays as it is
	$(BIN)/jupyter lab $(AS_ROOT) --GatewayApp.demo=True --ServerApp.root_dir=build/demo \
		--LabApp.default_url=/lab/tree/notebooks/01-tour.ipynb

# Without this each process imports the plugins of schemathesis and nbval, for seconds.
test: export PYTEST_DISABLE_PLUGIN_AUTOLOAD = 1
test: export PYTEST_PLUGINS = anyio.pytest_plugin,pytest_timeout,xdist.plugin
test: $(VENV)/.dev ## all tests but the slow ones: real CLI, real server, stand-in model
	$(BIN)/python -m pytest -n 2 --dist loadfile --ignore tests/soak

test-soak: $(VENV)/.dev ## the slow ones: killed servers, thousands of requests
	$(BIN)/python -m pytest -m soak -n 2 --dist loadfile --ignore tests/soak
	$(BIN)/python -m pytest -m soak -s tests/soak

# The clients and what they need stay apart: some cannot be installed beside us, nor
# beside each other. Their environments are kept by what is in them, for all checkouts.
CLIENTS := tests/clients
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/claude_nb_gateway
clients_in = $(CACHE)/clients-$(shell { $(PYTHON) --version; cat $(CLIENTS)/$(1).txt; } | git hash-object --stdin)
OPENAI2 := $(call clients_in,openai2)
OPENAI3 := $(call clients_in,openai3)
MCP1 := $(call clients_in,mcp1)

$(OPENAI2)/.made: REQUIREMENTS = $(CLIENTS)/openai2.txt
$(OPENAI3)/.made: REQUIREMENTS = $(CLIENTS)/openai3.txt
$(MCP1)/.made: REQUIREMENTS = $(CLIENTS)/mcp1.txt

$(OPENAI2)/.made $(OPENAI3)/.made $(MCP1)/.made:
	$(PYTHON) -m venv --clear $(@D)
	$(@D)/bin/python -m pip install --quiet --requirement $(REQUIREMENTS)
	@touch $@

$(CLIENTS)/node/node_modules/.made: $(CLIENTS)/node/package.json
	cd $(CLIENTS)/node && npm install --no-audit --no-fund --no-package-lock --silent
	@touch $@

test-clients: $(VENV)/.dev $(OPENAI2)/.made $(OPENAI3)/.made $(MCP1)/.made $(CLIENTS)/node/node_modules/.made ## LangChain, pydantic-ai, Vercel AI SDK, …: needs node
	cd $(CLIENTS)/node && node_modules/.bin/tsc
	CLIENTS_OPENAI2=$(OPENAI2)/bin/python CLIENTS_OPENAI3=$(OPENAI3)/bin/python CLIENTS_MCP1=$(MCP1)/bin/python \
		$(BIN)/python -m pytest -m clients tests/clients

test-install: $(VENV)/.dev ## a plain install and one from the sdist enable it
	$(BIN)/python scripts/check_install.py

test-real: $(VENV)/.dev ## ask the gateway that runs on PORT, with your own login
	$(BIN)/python scripts/smoke.py http://127.0.0.1:$(PORT)/v1

$(VENV)-peer/.made:
	$(PYTHON) -m venv $(VENV)-peer
	$(VENV)-peer/bin/python -m pip install --quiet claude-code-openai==0.1.1
	@touch $@

bench: $(VENV)/.dev $(VENV)-peer/.made ## measure how fast it is, for docs/benchmarks.md
	$(BIN)/python -m benchmarks --peer $(VENV)-peer/bin/python --write docs/benchmarks.md

check: $(VENV)/.dev ## format, lint, types, imports, generated documentation
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/python scripts/generate.py --check

format: $(VENV)/.dev ## format the code and write the generated documentation
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/python scripts/generate.py

notebooks: $(VENV)/.dev ## run the example notebooks anew, with canned answers
	$(BIN)/python scripts/execute_notebooks.py

kill: $(VENV)/.base ## stop the gateway that listens on PORT
	$(BIN)/python scripts/kill_port.py $(PORT)

clean: ## remove what is installed here, and all caches but that of test-clients
	rm -rf $(VENV) $(VENV)-peer $(CLIENTS)/node/node_modules build dist .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
