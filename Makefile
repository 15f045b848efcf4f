# The project's commands: `make help`. Each that needs them first makes .venv and installs the locked dependencies.
# It takes Python 3.11 or newer with pip, and nothing else: make demo PYTHON=python3.12

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DATA ?= ../shared/data
DEMO := runs/demo

.DEFAULT_GOAL := help
.PHONY: help install demo test lint types layers tests lock clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED)  ## make .venv and install the locked dependencies into it

# pip is told --no-deps because the lock is complete, and one dependency of a dependency must stay out (see tools/lock.py).
$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "error: '$(PYTHON)' is not Python 3.11 or newer. Name one that is: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; \
	    exit 2; }
	@echo "Installing the locked dependencies into $(VENV): about 6 GB on Linux, most of it torch with CUDA; some minutes."
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps -r requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(INSTALLED)  ## the main job on real frames: mIoU, latency, overlays and a report under runs/demo/
	@test -d $(DATA)/camvid/val -a -f $(DATA)/video/highway.mp4 || { \
	    echo "error: make demo needs CamVid as $(DATA)/camvid and the clip $(DATA)/video/highway.mp4; if they lie elsewhere: make demo DATA=DIR (docs/data.md says where CamVid comes from)" >&2; \
	    exit 2; }
	@$(BIN)/python infer.py --dataset camvid --root $(DATA)/camvid --split val --save overlay,color --output $(DEMO) \
	    --report $(DEMO)/report.json --report $(DEMO)/report.md --report $(DEMO)/report.html
	@$(BIN)/python infer.py --video $(DATA)/video/highway.mp4 --output $(DEMO)/highway.mp4
	@echo
	@echo "Look at $(DEMO)/report.html, $(DEMO)/overlay/ and $(DEMO)/highway.mp4. Then try"
	@echo "  $(BIN)/python infer.py YOUR_PICTURES/            your own pictures"
	@echo "  $(BIN)/python infer.py --video 0                 your camera, live"
	@echo "  $(BIN)/python infer.py --help                    all options"
	@echo "  $(BIN)/python train_seg.py fit --config configs/camvid_small.yaml --data.root $(DATA)/camvid"

test: lint types layers tests  ## all checks: lint, types, import layers, tests

lint: $(INSTALLED)  ## ruff over everything
	$(BIN)/ruff check .

types: $(INSTALLED)  ## mypy over the package
	$(BIN)/mypy seg

layers: $(INSTALLED)  ## import-linter: imports run one way
	$(BIN)/lint-imports

tests: $(INSTALLED)  ## pytest
	$(BIN)/python -m pytest

lock: $(INSTALLED)  ## write requirements.lock anew from what .venv has installed
	$(BIN)/python tools/lock.py

clean:  ## remove .venv, caches and what the demo wrote
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis *.egg-info runs/demo
