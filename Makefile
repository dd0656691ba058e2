# make demo | test | lint | bench | clean        everything lives in .venv and .streamgauge
PYTHON ?= python3.11
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: demo test unit integration lint schema bench clean

demo: $(INSTALLED)
	$(BIN)/streamgauge demo $(if $(KEEP),--keep)

test: $(INSTALLED)
	$(BIN)/pytest

unit: $(INSTALLED)
	$(BIN)/pytest -m "not integration"

integration: $(INSTALLED)
	$(BIN)/pytest -m integration

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p streamgauge.models -p streamgauge.udfs -p streamgauge.jobs

schema: $(INSTALLED)
	$(BIN)/python -c "from streamgauge.jobs.settings import schema; print(schema(), end='')" > flink-conf/detection.schema.json

bench: $(INSTALLED)
	$(BIN)/python -m benchmarks.half_space_trees
	$(BIN)/python -m benchmarks.entities
	$(BIN)/python -m benchmarks.throughput
	$(BIN)/python -m benchmarks.latency

clean:
	-$(BIN)/streamgauge down
	rm -rf .streamgauge .venv build *.egg-info demo-output .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(INSTALLED): setup.py constraints.txt pom.xml docker/install.sh
	PYTHON=$(PYTHON) docker/install.sh
	touch $@
