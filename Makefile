# Python 3.11, make and a package index are all that is needed; everything else goes into .venv.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-cluster chaos chaos-cluster check format bench clean

demo: $(READY)  ## two models asleep, woken by real requests, scaled, and back to zero
	$(BIN)/python examples/demo.py

test: $(READY)  ## the whole suite
	$(BIN)/pytest --numprocesses 3 --dist worksteal --ignore tests/ledger
	$(BIN)/pytest tests/ledger  # alone, as it judges times

test-cluster: $(READY)  ## the end-to-end suite, on the cluster that KUBECONFIG names (docs/end-to-end.md)
	$(BIN)/pytest tests/e2e --ignore tests/e2e/chaos -v -rs

chaos: $(READY)  ## all faults, with ledgers of what was asked and served; SEED=... repeats a run, FAULTS="F06 F12" selects
	$(BIN)/python -m tests.ledger $(if $(SEED),--seed $(SEED)) $(FAULTS)

chaos-cluster: $(READY)  ## faults of the control plane, against a stand-in, and on the cluster that KUBECONFIG names, if any
	$(BIN)/python -m tests.control $(if $(SEED),--seed $(SEED)) $(FAULTS)
	$(if $(KUBECONFIG),$(BIN)/pytest tests/e2e/chaos -v -rs)

check: $(READY)  ## format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY)  ## tables of costs, beside other proxies where they are installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[bench]'
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(READY): pyproject.toml constraints.txt
	command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) is not installed; name another one: make PYTHON=python3 ..." >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[demo,dev]'
	touch $(READY)
