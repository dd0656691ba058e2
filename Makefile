# make demo | test | lint | bench | kernels | clean        everything lives in .venv and .streamgauge
PYTHON ?= python3.11
BIN := .venv/bin
NEEDS := setup.py constraints.txt install.sh

.PHONY: demo test unit integration lint schema bench kernels clean

demo: .venv/.installed
	$(BIN)/streamgauge demo $(if $(KEEP),--keep)

test: .venv/.installed-dev
	$(BIN)/pytest --durations=20

unit: .venv/.installed-dev
	$(BIN)/pytest -m "not integration"

integration: .venv/.installed-dev
	$(BIN)/pytest -m integration

lint: .venv/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p streamgauge.models -p streamgauge.udfs -p streamgauge.jobs

schema: .venv/.installed
	$(BIN)/python -m streamgauge.jobs.settings.schemas

kernels:
	find . -name '*.nb[ci]' -delete

bench: .venv/.installed-dev
	$(BIN)/python -m benchmarks.detectors
	$(BIN)/python -m benchmarks.half_space_trees
	$(BIN)/python -m benchmarks.entities
	$(BIN)/python -m benchmarks.models
	$(BIN)/python -m benchmarks.throughput
	$(BIN)/python -m benchmarks.latency
	$(BIN)/python -m benchmarks.kinds
	$(BIN)/python -m benchmarks.closed_loop
	$(BIN)/python -m benchmarks.million

clean:
	-$(BIN)/streamgauge down
	rm -rf .streamgauge .venv build *.egg-info demo-output .mypy_cache .ruff_cache .pytest_cache .hypothesis

.venv/.installed: $(NEEDS)
	PYTHON=$(PYTHON) ./install.sh

.venv/.installed-dev: $(NEEDS)
	PYTHON=$(PYTHON) ./install.sh dev
