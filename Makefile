# Loom. `make help` lists what there is.

.DEFAULT_GOAL := help
.PHONY: help run demo test check chaos bench setup

# Without bytecode every start compiles a thousand modules anew, which costs more than everything else it does.
unexport PYTHONDONTWRITEBYTECODE

PROJECT_PYTHON := .venv/bin/python

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-6s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: setup ## set up and start everything, run the demo once, serve until Ctrl-C
	@$(PROJECT_PYTHON) manage.py up

demo: setup ## the same, but stop after the demo; exit 0 only if it succeeded
	@$(PROJECT_PYTHON) manage.py up --exit-after-demo

test: setup ## run the tests; ARGS="-k name" narrows them
	@scripts/test-tools
	@$(PROJECT_PYTHON) -m pytest $(ARGS)

check: setup ## what CI runs: format, lint, import contracts, types, missing migrations, tests
	@scripts/test-tools
	@scripts/check

chaos: setup ## break workers and servers for half an hour and see that nothing is lost; LOOM_CHAOS_SEED=n repeats
	@scripts/test-tools
	@LOOM_CHAOS_LONG=1 $(PROJECT_PYTHON) -m pytest tests/chaos -s $(ARGS)

bench: setup ## run the benchmarks; tables here, figures in bench/results/
	@$(PROJECT_PYTHON) -m bench

setup:
	@scripts/bootstrap
