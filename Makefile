# make run   serve on 127.0.0.1:8000      make test   the whole test suite
# make model rebuild the shipped model    make lint   style      make benchmark  measure, write benchmarks/RESULTS.md
# make dist  the wheel, in dist/

PYTHON ?= python3
CORPORA ?= ../shared/corpora
BIN := .venv/bin

.PHONY: run test model benchmark lint dist lock

run: .venv/installed
	$(BIN)/python serve.py

test: .venv/installed
	$(BIN)/python -m pytest

model: .venv/installed
	$(BIN)/python -m moderation build-default --corpora $(CORPORA)

benchmark: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r benchmarks/requirements.txt
	@if command -v wrk >/dev/null; then $(BIN)/python -m benchmarks.load; else echo 'no load test: apt install wrk' >&2; fi
	$(BIN)/python -m benchmarks.bulk
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks --corpora $(CORPORA)

dist: .venv/installed
	rm -rf build dist/*.whl
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .
	rm -rf build *.egg-info

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/bandit --quiet --recursive --configfile pyproject.toml moderation train.py serve.py
	$(BIN)/python .ci/audit

# pip checks every file against the hashes in the lock. A half-made .venv leaves no mark and is made again.
.venv/installed: requirements.lock
	@$(PYTHON) -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'Python 3.11 or newer with venv is needed (Debian: apt install python3-venv)' >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

lock:
	uv pip compile pyproject.toml --extra test --generate-hashes --universal --python-version 3.11 \
		--no-emit-index-url --no-header --no-annotate -o requirements.lock
	echo playwright | uv pip compile - -c requirements.lock --generate-hashes --universal --python-version 3.11 \
		--no-emit-index-url --no-header --no-annotate -o tests/browser.lock
