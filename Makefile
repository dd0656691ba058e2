# `make help` lists the targets, from the comments after ##. Everything lives in .venv and .streamgauge.
PYTHON ?= python3.11
BIN := .venv/bin
export STREAMGAUGE_HOME ?= $(CURDIR)/.streamgauge
INTEGRATION := $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder --durations=20
WORKERS := $(shell echo $$(( ($$(nproc) * 3 + 1) / 2 )))
UNIT := $(BIN)/pytest -n $(WORKERS) --dist loadfile --durations=20
NEEDS := setup.py constraints.txt install.sh

.PHONY: demo test unit integration fuzz mutants kills soak weekly spark lint ci schema proto docs bench bench-scale kernels clean help

demo: .venv/.installed  ## a local Kafka and Flink, eight real series through the job, a page; KEEP=1 leaves all running
	$(BIN)/streamgauge demo $(if $(KEEP),--keep)

test: .venv/.installed-dev  ## the tests of a change: without a cluster, then the main ways through a real Kafka and Flink, with the slowest 20 of each kind
	$(BIN)/streamgauge warm
	$(UNIT) -m "not integration and not slow"
	$(INTEGRATION) -m "integration and not slow"

unit: .venv/.installed-dev  ## the tests that need neither Kafka nor Flink, three processes for two cores, because tests also wait for servers and pages
	$(BIN)/streamgauge warm
	$(UNIT) -m "not integration"

integration: .venv/.installed-dev  ## all tests on a real Kafka and Flink cluster, two processes with a cluster each
	$(INTEGRATION) -m integration

fuzz: .venv/.installed-dev  ## a million made-up payloads, and 20,000 texts as each kind of message, settings, model and state; `make test` throws 1 % of these
	FUZZ=1000000 $(BIN)/pytest -n auto tests/udfs/events/test_fuzz.py tests/udfs/pipeline/test_fuzz_of_all_else.py

mutants: .venv/.installed-dev  ## small faults in the rooms that decide, and how many the tests notice; MUTANTS=0 tries all, not 200 a room
	$(BIN)/python tests/mutants/run.py --most $(or $(MUTANTS),200)

KILLS ?= 20
kills: .venv/.installed-dev  ## twenty kills of a job's processes at random times; KILLS=n for others, SEED=n to repeat; `make ci` kills four times
	KILLS=$(KILLS) $(BIN)/pytest -s tests/integration/test_faults.py

SOAK ?= 3600
soak: .venv/.installed-dev  ## an hour at 5,000 events/s, an error if memory or state grow, a picture in soak.png; SOAK=seconds
	$(BIN)/python -m benchmarks.soak --seconds $(SOAK)

weekly: fuzz kills spark  ## what is to run once a week: a million made-up payloads, twenty kills, the job in Spark, ten minutes of soak
	$(MAKE) soak SOAK=600

spark: .venv/.installed-dev .venv-spark/.installed  ## an environment with Spark in .venv-spark, and the test of the job in Spark (docs/engines.md)
	$(BIN)/pytest tests/integration/test_spark.py

lint: .venv/.installed-dev  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p streamgauge.models -p streamgauge.udfs -p streamgauge.jobs

ci: lint unit integration  ## what CI runs: lint, types, all tests, also the slow ones (every detector by the same checks, kills, outages, upgrades), with the slowest 20

schema: .venv/.installed  ## write the JSON Schemas in flink-conf and the page of settings in docs anew
	$(BIN)/python -m streamgauge.jobs.settings.schemas
	$(BIN)/python -m streamgauge.jobs.settings.reference

proto: .venv/.installed-dev  ## write the Python code of the gRPC API anew, after a change of its .proto
	$(BIN)/python -m streamgauge.jobs.service.rpc.stubs

docs: .venv-docs/.installed  ## build the documents into site/; a broken link fails
	.venv-docs/bin/zensical build --strict --clean

kernels:  ## delete compiled kernels
	find . -name '*.nb[ci]' -delete
	rm -rf $(STREAMGAUGE_HOME)/numba

bench: .venv/.installed-dev  ## all benchmarks that need no data of others; this takes long
	$(BIN)/python -m benchmarks.detectors
	$(BIN)/python -m benchmarks.processes
	$(BIN)/python -m benchmarks.networks
	$(BIN)/python -m benchmarks.intervals
	$(BIN)/python -m benchmarks.reading
	$(BIN)/python -m benchmarks.windows
	$(BIN)/python -m benchmarks.half_space_trees
	$(BIN)/python -m benchmarks.entities
	$(BIN)/python -m benchmarks.models
	$(BIN)/python -m benchmarks.throughput
	$(BIN)/python -m benchmarks.latency
	$(BIN)/python -m benchmarks.kinds
	$(BIN)/python -m benchmarks.promise
	$(BIN)/python -m benchmarks.faults
	$(BIN)/python -m benchmarks.closed_loop
	$(BIN)/python -m benchmarks.million
	$(BIN)/python -m benchmarks.service

bench-scale: .venv/.installed-dev  ## how the cost of an event grows with entities, fields, partitions, detectors and batches; a picture in growth.png
	$(BIN)/python -m benchmarks.growth --picture growth.png

clean:  ## stop the local cluster, and delete all that was installed, built and written
	-$(BIN)/streamgauge down
	rm -rf .streamgauge .venv .venv-docs .venv-spark .cache site build *.egg-info demo-output growth.png .mypy_cache .ruff_cache .pytest_cache .hypothesis

help:  ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name what; do printf '  %-12s %s\n' "$$name" "$$what"; done

.venv/.installed: $(NEEDS)
	PYTHON=$(PYTHON) ./install.sh

.venv/.installed-dev: $(NEEDS) tests/docker/helm.txt
	PYTHON=$(PYTHON) ./install.sh dev

# apart, so that the tools of the documents never decide which versions the job gets
.venv-docs/.installed: constraints-docs.txt
	[ -x .venv-docs/bin/python ] || $(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip install -q --disable-pip-version-check -r constraints-docs.txt
	touch $@

# apart, because Spark and Flink need different versions of py4j; so apache-flink is left out
.venv-spark/.installed: setup.py constraints.txt constraints-spark.txt docker/images/requirements.py
	[ -x .venv-spark/bin/python ] || $(PYTHON) -m venv .venv-spark
	grep -v '^py4j==' constraints.txt | cat - constraints-spark.txt > .venv-spark/constraints.txt
	rm -rf .venv-spark/wheel
	.venv-spark/bin/python -m pip install -q --disable-pip-version-check -c .venv-spark/constraints.txt packaging
	.venv-spark/bin/python -m pip wheel -q --disable-pip-version-check --no-deps --wheel-dir .venv-spark/wheel .
	.venv-spark/bin/python docker/images/requirements.py .venv-spark/wheel/*.whl --without apache-flink --extra spark > .venv-spark/requirements.txt
	.venv-spark/bin/python -m pip install -q --disable-pip-version-check -c .venv-spark/constraints.txt -r .venv-spark/requirements.txt
	.venv-spark/bin/python -m pip install -q --disable-pip-version-check --no-deps -e . --config-settings editable_mode=strict
	touch $@
