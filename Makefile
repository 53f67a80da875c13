# Everything installs itself: only Python >= 3.11 and make are needed.
PYTHON ?= python3
BIN := .venv/bin
SETUP := .venv/.ready
# Its tests of all operations share one name, of which a distributed run keeps one.
ALONE := tests/e2e/test_openapi.py
# Else each process, and each test starts a few, compiles the whole house anew: half of its start.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run serve test test-together test-alone lint format chaos bench loadtest lock clean

run: $(SETUP) ## the demo: a real hour of LLM requests through the gateway (ONCE=1 ends with it)
	$(BIN)/spendgate demo $(if $(ONCE),--once)

serve: $(SETUP) ## an empty gateway
	$(BIN)/spendgate serve

test: lint test-together test-alone ## lint, types, house rules and all tests

# In the order they are collected in: the long files come before hundreds of short ones, so that no
# process is left waiting for the other's last file.
test-together: $(SETUP)
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder --ignore $(ALONE)

test-alone: $(SETUP)
	$(BIN)/pytest $(ALONE)

lint: $(SETUP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(SETUP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

chaos: $(SETUP) ## every fault, often: over an hour; KILLS and ROUNDS say how often
	CHAOS=long CHAOS_KILLS=$(or $(KILLS),50) \
		CHAOS_ROUNDS=$(or $(ROUNDS),10) $(BIN)/pytest tests/chaos -s

bench: $(SETUP) ## speed and memory, beside an empty handler in the same run
	$(BIN)/python -m loadtests.bench

loadtest: $(SETUP) ## a minute of three kinds of callers, with CSV and HTML report
	$(BIN)/python -m loadtests.run

# One lock for every Python that pyproject.toml admits: some of what is needed depends on it.
lock: ## pin what pyproject.toml allows
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q uv
	$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes \
		--extra server --extra dev --extra export --extra train \
		--no-emit-index-url --no-emit-find-links -o requirements.lock pyproject.toml

$(SETUP): requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install -q --disable-pip-version-check --no-deps -e .
	touch $(SETUP)

clean:
	rm -rf .venv var build *.egg-info
