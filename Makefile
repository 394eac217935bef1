# The front door. Needs Python 3.11 or later, git and make; everything else is installed into .venv.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq install --constraint requirements.lock --editable
CODE := src tests tools benchmarks
TESTS ?= tests
WORKERS ?= 3
# R and the packages that some long tests compare the statistics with; they are skipped where it is not there.
ORACLE := r-base-core r-cran-lme4 r-cran-metafor r-cran-glmnet r-cran-mass r-cran-brglm2 r-cran-sandwich

# Programs and sandboxes start in two thirds of the time from compiled code, which the sandboxes cannot write themselves.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help compiled demo test long nightly lint format docs bench attack faults soak soak-federation clean system

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*##  *\(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|' 2>/dev/null \
		|| sed -n 's/^\([a-z-]*\):.*##/  make \1:/p' $(MAKEFILE_LIST)

demo: .venv/.run system compiled  ## four hospitals' nodes, a hub and a study on this machine
	$(BIN)/sojourn demo

test: .venv/.develop system compiled lint docs  ## lint, types, import contracts, docs, tests; LONG=1, as CI has it: those of `make long` with them
	@mkdir -p build
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(if $(LONG),-m "not faults and not nightly") $(TESTS)

long: .venv/.develop system compiled  ## the tests that take long, which CI runs too
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "long and not nightly and not faults" $(TESTS)

nightly: .venv/.develop system compiled  ## the tests that take minutes, for which CI has no time
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m nightly $(TESTS)

lint: .venv/.develop  ## ruff, mypy and the import contracts
	@failed=; \
	for check in "ruff check $(CODE)" "ruff format --check $(CODE)" mypy "lint-imports --no-logo"; do \
		echo "== $$check"; \
		$(BIN)/$$check || failed="$$failed [$$check]"; \
	done; \
	if [ -n "$$failed" ]; then echo "Failed:$$failed" >&2; exit 1; fi

format: .venv/.develop  ## let ruff lay out the code
	$(BIN)/ruff check --fix-only $(CODE)
	$(BIN)/ruff format $(CODE)

docs: .venv/.develop  ## the manual, as pages under build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --site-dir build/site

bench: .venv/.develop system compiled  ## speed, as ratios and medians of one run: benchmarks/results
	@tools/system_packages $(ORACLE)
	@for topic in methods rounds logistic models tables sites audit memory suppression differencing joint gate masks utility harmonise \
		profile vocabulary; do \
		$(BIN)/python benchmarks/$$topic.py || exit 1; done

attack: .venv/.develop system compiled  ## every attack of the list, and the table of what stops it: docs/explanation/attacks.md
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadscope -m "not faults" tests/attacks --attack-page --ignore tests/attacks/test_listed.py
	$(BIN)/python -m pytest -q tests/attacks/test_listed.py

faults: .venv/.develop system compiled  ## the long tests of real faults: a kill at every single step
	$(BIN)/python -m pytest -m faults -rP tests/faults

soak-federation: .venv/.develop  ## 1,000 studies over 20 nodes, the hub killed five times: benchmarks/results/soak.json
	$(BIN)/python benchmarks/soak.py

SEEDS ?= 10000
FIRST ?= 0
soak: .venv/.develop  ## the simulation over many seeds, and its planted defects: make soak SEEDS=300 FIRST=0
	PYTHONPATH=tests $(BIN)/python -m simulation --seeds $(SEEDS) --first $(FIRST) --workers $(WORKERS) \
		--defect-seeds 300 --out benchmarks/results/simulation.json

clean:  ## remove the environment and everything that was built
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +

# Installed once, and again when the requirements change.
.venv/bin/python:
	@[ -n "$(PYTHON)" ] && "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Sojourn needs Python 3.11 or later, and found: $$([ -n "$(PYTHON)" ] && "$(PYTHON)" --version || echo none)." >&2; \
		echo "Remedy: install it (Debian, Ubuntu: apt-get install python3.11 python3.11-venv)," >&2; \
		echo "or name it: make PYTHON=/path/to/python3.11 demo" >&2; exit 1; }
	@"$(PYTHON)" -m venv .venv || { rm -rf .venv; \
		echo "Remedy: install the venv module of this Python (Debian, Ubuntu: apt-get install python3.11-venv)." >&2; exit 1; }

.venv/.run: pyproject.toml requirements.lock | .venv/bin/python
	@echo "Installing Sojourn into .venv ..."
	@$(PIP) .
	@touch $@

.venv/.develop: pyproject.toml requirements.lock | .venv/bin/python
	@echo "Installing Sojourn and its tools into .venv ..."
	@$(PIP) '.[postgresql,privacy,test,dev,docs]'
	@touch .venv/.run $@

compiled: | .venv/bin/python
	@$(BIN)/python -m compileall -q src

system:
	@tools/system_packages $(if $(filter test long nightly,$(MAKECMDGOALS))$(LONG),chromium postgresql faketime) \
		$(if $(filter long,$(MAKECMDGOALS))$(LONG),$(ORACLE))
