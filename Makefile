# `make demo` answers a question about examples/scene.png; `make test` checks everything but what takes many minutes,
# which is `make nightly`. All create .venv on first use.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT := build/demo
QUESTION := Describe this image with interleaved segmentation masks.

# Python sources are used in place; only these need a new installation.
BUILD_FILES := pyproject.toml setup.py CMakeLists.txt $(wildcard csrc/*)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test nightly check clean

demo: $(VENV)/demo.stamp
	$(BIN)/geopixel-edge ask examples/scene.png "$(QUESTION)" --out $(OUT)
	@echo "Open $(CURDIR)/$(OUT)/report.html"

test: check
	$(BIN)/python -m pytest -q -m "not long and not gpu"

nightly: $(VENV)/test.stamp
	$(BIN)/python -m pytest -v -m "long and not gpu"

check: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/mypy

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
