# Everything runs from a fresh checkout: uv is brought in where it is missing, and builds the environment in .venv. Byte
# code is compiled there once: a first run does not, nor runs that may not write it (PYTHONDONTWRITEBYTECODE).
PYTHON ?= python3
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
RUN := $(UV) run --no-sync
# What pytest makes of the tests' asserts is kept, too: to make it anew takes every process a quarter of a minute.
PYTEST := $(RUN) env -u PYTHONDONTWRITEBYTECODE pytest

.PHONY: install run paper reference test test-all coverage docs golden reliability mutation audit sbom lint format clean

install: .venv/installed

.venv/installed: pyproject.toml
	@command -v $(UV) >/dev/null 2>&1 || { $(PYTHON) -m venv .uv && .uv/bin/pip install --quiet uv; }
	$(UV) sync --quiet --no-progress --compile-bytecode
	.venv/bin/python -m compileall -q fedrobust server clients
	@touch $@

run: install
	$(RUN) fedrobust run $(STUDY) $(ARGS)

paper: install
	$(RUN) python experiments/paper/run.py $(ARGS)

reference: install
	$(RUN) python experiments/reference/run.py $(ARGS)

test: install
	$(PYTEST) -m "not slow" -n 2 --dist loadfile $(ARGS)

test-all: install
	$(PYTEST) -n 2 --dist loadfile $(ARGS)

coverage: install
	$(PYTEST) -m "not slow" -n 2 --dist loadfile --cov --cov-report=term:skip-covered $(ARGS)

docs: install
	$(UV) sync --quiet --no-progress --group docs
	$(RUN) python docs/site/stage.py docs/_build/source
	$(RUN) sphinx-build --fail-on-warning --keep-going -q -c docs/site docs/_build/source docs/_build/html

golden: install
	$(RUN) python tests/golden/record.py $(ARGS)

reliability: install
	@mkdir -p runs
	$(RUN) python experiments/reliability/run.py $(or $(ARGS),--out runs/reliability.json)

mutation: install
	$(RUN) python experiments/reliability/mutation.py $(ARGS)

audit: install
	$(RUN) python experiments/reliability/supply_chain.py $(ARGS)

sbom: install
	$(RUN) python experiments/reliability/supply_chain.py --sbom sbom.json

lint: install
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy

format: install
	$(RUN) ruff format .
	$(RUN) ruff check --fix .

clean:
	rm -rf .venv .uv build dist .mypy_cache .pytest_cache .ruff_cache
