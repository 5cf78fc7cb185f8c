# `make demo` answers a question about examples/scene.png. `make check` is what needs no engine, `make test` that and every
# other test but those of many minutes, which are `make nightly`. `make docs` builds the pages. All create .venv at first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT := build/demo
QUESTION := Describe this image with interleaved segmentation masks.

# Python sources are used in place; only these need a new installation.
BUILD_FILES := pyproject.toml setup.py CMakeLists.txt $(wildcard csrc/*)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo check types unit test nightly nightly-aarch64 docs clean

demo: $(VENV)/demo.stamp
	$(BIN)/geopixel-edge ask examples/scene.png "$(QUESTION)" --out $(OUT)
	@echo "Open $(CURDIR)/$(OUT)/report.html"

# The type checker and the tests take a core each.
check: $(VENV)/test.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	@$(MAKE) --no-print-directory --jobs=2 types unit

types: $(VENV)/test.stamp
	$(BIN)/mypy

unit: $(VENV)/test.stamp
	$(BIN)/python -m pytest -q tests/unit -m "not long"

# A process a core, a file in one of them: files share engines that are exported once.
test: check
	$(BIN)/python -m pytest -q --numprocesses=2 --dist=loadfile --ignore=tests/unit -m "not long and not gpu" --durations=40

# What tells a time has the machine to itself; the rest takes a core each, as above.
TIMED := $(addprefix tests/nightly/test_,times.py server_load.py tensorrt_depths.py)
nightly: $(VENV)/test.stamp
	@failed=0; set -x; \
	$(BIN)/python -m pytest -v -m "long and not gpu" --durations=10 $(TIMED) || failed=1; \
	$(BIN)/python -m pytest -v -m "long and not gpu" --durations=40 --numprocesses=2 --dist=loadfile \
		$(addprefix --ignore=,$(TIMED)) || failed=1; \
	exit $$failed

# The same package on the Jetson's architecture, under QEMU; needs root.
nightly-aarch64: $(VENV)/demo.stamp
	tests/nightly/aarch64.sh

# Strict: a page, link or name that is missing ends it. Nothing is fetched, and docs/hooks.py fails it if a page would.
docs: $(VENV)/docs.stamp
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	@echo "Open $(CURDIR)/build/docs/index.html"

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -f geopixel_edge/_native*.so

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo.stamp: $(BUILD_FILES) | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e .
	@touch $@

$(VENV)/test.stamp: $(BUILD_FILES) | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e ".[export,bench,test]"
	@touch $(VENV)/demo.stamp $@

$(VENV)/docs.stamp: pyproject.toml $(VENV)/demo.stamp
	$(BIN)/python -m pip install --quiet -e ".[docs]"
	@touch $@
