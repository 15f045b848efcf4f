# The project's commands: `make help`. Each that needs them first makes .venv and installs the locked dependencies.
# It takes Python 3.11 or newer with pip, and nothing else: make demo PYTHON=python3.12

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
INFERENCE := $(VENV)/.installed-inference
# What the demo needs: inference alone, unless everything is there already.
READY := $(if $(wildcard $(INSTALLED)),$(INSTALLED),$(INFERENCE))
TOOLS := $(VENV)/tools
DEMO := runs/demo
TRAIN_DEMO := runs/train_demo_scenes

.DEFAULT_GOAL := help
.PHONY: help install demo train-demo test lint types layers tests lock audit sbom clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED)  ## make .venv and install the locked dependencies into it

# pip is told --no-deps because the locks are complete, and one dependency of a dependency must stay out (see tools/lock.py).
define set_up
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "error: '$(PYTHON)' is not Python 3.11 or newer. Name one that is: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; \
	    exit 2; }
	@echo "$(ANNOUNCEMENT)"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps -r $<
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
endef

$(INSTALLED): ANNOUNCEMENT = Installing the locked dependencies into $(VENV): about 6 GB on Linux, most of it torch with CUDA; some minutes.
$(INSTALLED): requirements.lock pyproject.toml setup.py
	$(set_up)

$(INFERENCE): ANNOUNCEMENT = Installing what inference needs into $(VENV): about 0.9 GB, no torch. make train-demo and make test add the rest.
$(INFERENCE): requirements-inference.lock pyproject.toml setup.py
	$(set_up)

demo: $(READY)  ## the main job on a real street and on rendered ones: mIoU, latency, overlays, reports, a video and two networks compared in runs/demo/
	@rm -rf $(DEMO)
	@$(BIN)/python infer.py docs/images/highway --output $(DEMO)/highway
	@$(BIN)/lraspp scenes $(DEMO)/scenes --frames 40 --seed 41
	@$(BIN)/python infer.py --dataset cityscapes --root $(DEMO)/scenes --split val --save overlay,color --output $(DEMO) \
	    --report $(DEMO)/report.json --report $(DEMO)/report.md --report $(DEMO)/report.html
	@$(BIN)/lraspp scenes $(DEMO)/drive.mp4 --frames 136 --seed 12
	@$(BIN)/python infer.py --video $(DEMO)/drive.mp4 --output $(DEMO)/drive_segmented.mp4
	@$(BIN)/python infer.py --dataset cityscapes --root $(DEMO)/scenes --split val --weights street_large --quiet \
	    --report $(DEMO)/report_large.json
	@echo
	@$(BIN)/lraspp compare $(DEMO)/report.json $(DEMO)/report_large.json --report $(DEMO)/comparison.html
	@echo
	@echo "Look at $(DEMO)/highway/, $(DEMO)/report.html, $(DEMO)/comparison.html, $(DEMO)/overlay/ and"
	@echo "$(DEMO)/drive_segmented.mp4. Then try"
	@echo "  $(BIN)/python infer.py YOUR_PICTURES/            your own pictures"
	@echo "  $(BIN)/python infer.py --video 0                 your camera, live"
	@echo "  $(BIN)/python infer.py --help                    all options"
	@echo "  make train-demo                                  train a first network yourself"

train-demo: $(INSTALLED)  ## a first network: render streets, train on them, score it on others
	@rm -rf $(TRAIN_DEMO) runs/train_demo
	@$(BIN)/lraspp scenes $(TRAIN_DEMO) --town 7 --frames 640 --seed 51 --split train --size 192x384
	@$(BIN)/lraspp scenes $(TRAIN_DEMO) --town 7 --frames 50 --seed 52 --split val --size 192x384
	@$(BIN)/python train_seg.py fit --config configs/train_demo.yaml --data.root $(TRAIN_DEMO)
	@$(BIN)/lraspp export --weights runs/train_demo/train_demo.safetensors
	@$(BIN)/python infer.py --dataset cityscapes --root $(TRAIN_DEMO) --weights runs/train_demo/train_demo.safetensors \
	    --engine openvino --save overlay --output runs/train_demo --report runs/train_demo/report.html

test: lint types layers tests  ## all checks: lint, types, import layers, tests

lint: $(INSTALLED)  ## ruff over everything, hadolint over the Dockerfile
	$(BIN)/ruff check .
	$(BIN)/hadolint Dockerfile

types: $(INSTALLED)  ## mypy over everything
	$(BIN)/mypy

layers: $(INSTALLED)  ## import-linter: imports run one way
	$(BIN)/lint-imports

# Torch's idle threads would otherwise spin on the cores that the other process needs, which takes most of the time.
tests: $(INSTALLED)  ## pytest, in two processes, each of which takes whole files
	OMP_WAIT_POLICY=passive $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

lock: $(INSTALLED)  ## write both locks anew from what .venv has installed
	$(BIN)/python tools/lock.py

# Apart from .venv, whose versions are the lock's.
$(TOOLS)/bin/pip-audit: $(INSTALLED)
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --disable-pip-version-check pip-audit==2.10.1 cyclonedx-bom==7.5.0
	@touch $@

audit: $(TOOLS)/bin/pip-audit  ## known vulnerabilities of the locked versions, by pip-audit; asks the package index
	$(TOOLS)/bin/pip-audit --requirement requirements.lock --no-deps --disable-pip

sbom: $(TOOLS)/bin/pip-audit  ## sbom.json: what is installed in .venv, as CycloneDX
	$(TOOLS)/bin/cyclonedx-py environment $(BIN)/python --of JSON --output-file sbom.json

clean:  ## remove .venv, caches and what the demo wrote
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis *.egg-info $(DEMO) $(TRAIN_DEMO) runs/train_demo
