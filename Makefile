# `make demo` answers a question about examples/scene.png; `make test` checks everything. Both create .venv on first use.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := build/demo
CHECKPOINT := tests/data/tiny-geopixel/checkpoint
QUESTION := Can you provide a thorough description of the this image? Please output with interleaved segmentation masks for the corresponding phrases.

# Python sources are used in place; only these need a new installation.
BUILD_FILES := pyproject.toml setup.py CMakeLists.txt $(wildcard csrc/*)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test check clean

# Random weights seldom end an answer, so the demo limits its length.
demo: $(DEMO)/engine/manifest.json
	$(BIN)/geopixel-edge ask examples/scene.png "$(QUESTION)" --engine $(DEMO)/engine --out $(DEMO)/answer --max-new-tokens 24
	@echo "Open $(CURDIR)/$(DEMO)/answer/report.html"

test: check
	$(BIN)/python -m pytest -q -m "not long and not gpu"

check: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -f geopixel_edge/_native*.so

$(DEMO)/engine/manifest.json: $(wildcard export/*.py) geopixel_edge/manifest.py | $(VENV)/demo.stamp
	rm -rf $(DEMO)/engine
	mkdir -p $(DEMO)
	$(BIN)/python -m export $(CHECKPOINT) $(DEMO)/engine --runtime onnx --precision fp32

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo.stamp: $(BUILD_FILES) | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e ".[export]"
	@touch $@

$(VENV)/test.stamp: $(BUILD_FILES) | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e ".[export,bench,test]"
	@touch $(VENV)/demo.stamp $@
