# `make` runs what CI runs; `make help` lists everything.
# A study is chosen with STUDY=..., the two halves of an overnight run with SD15=... and SDXL=...

PYTHON ?= python3
VENV ?= .venv
EXTRAS ?= dev
STUDY ?= studies/sdxl_character.toml
SD15 ?= studies/sd15_character.toml
SDXL ?= studies/sdxl_character.toml
PORT ?= 8080
LORA ?=
A ?=
B ?=

OPTIMIZER = $(VENV)/bin/optimizer
READY = $(VENV)/.installed
# Where a study keeps its results: output_dir is ../runs in every shipped study file.
RUN = runs/$(basename $(notdir $(STUDY)))
RUN15 = runs/$(basename $(notdir $(SD15)))
RUNXL = runs/$(basename $(notdir $(SDXL)))

.DEFAULT_GOAL := ci
.PHONY: ci setup demo test slow lint types plan sd15 transfer sdxl train evaluate compare overnight \
	dashboard tensorboard status screenshots clean help bench

ci: lint types test ## Everything that CI runs (the default)

setup: $(READY) ## Make the virtual environment and install the package into it

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --upgrade pip
	$(VENV)/bin/pip install --quiet -c constraints.txt -e ".[$(EXTRAS)]"
	@touch $(READY)

# Models this small are faster on one thread, and the same on every machine.
demo: export OMP_NUM_THREADS ?= 1
demo: setup ## SD1.5 study, transfer, SDXL study, final LoRA and comparison on tiny models
	$(OPTIMIZER) demo .
	$(MAKE) --no-print-directory overnight SD15=studies/demo_sd15.toml SDXL=studies/demo_sdxl.toml

test: setup ## The tests, slow ones left out
	$(VENV)/bin/pytest -m "not slow and not gpu" -n 2 --dist loadfile

slow: setup ## The tests that train or search for minutes
	$(VENV)/bin/pytest -m "slow and not gpu"

lint: setup ## ruff: style and format
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

types: setup ## mypy, strict
	$(VENV)/bin/mypy

plan: setup ## What a study will take, before it runs (STUDY=...)
	$(OPTIMIZER) plan $(STUDY)

sd15: setup ## Run the SD1.5 study (SD15=...)
	$(OPTIMIZER) run $(SD15)

transfer: setup ## Carry the SD1.5 best over to SDXL
	$(OPTIMIZER) transfer $(RUN15)/best_params.json --to sdxl

sdxl: setup ## Run the SDXL study (SDXL=...), beginning with what was carried over
	$(OPTIMIZER) run $(SDXL) --init-params $(RUN15)/transfer.json

train: setup ## Train the final LoRA of a study (STUDY=...)
	$(OPTIMIZER) train $(STUDY) --params $(RUN)/best_params.json

evaluate: setup ## Pictures and scores of a LoRA (LORA=..., else the study's best)
	$(OPTIMIZER) evaluate $(or $(LORA),$$($(OPTIMIZER) best $(STUDY) --checkpoint)) \
		--study $(STUDY) --output $(RUN)/evaluation

compare: setup ## Two LoRAs on the same prompts (A=... B=..., else the best of SD15 and of SDXL)
	$(OPTIMIZER) compare $(or $(A),$$($(OPTIMIZER) best $(SD15) --checkpoint)) \
		$(or $(B),$$($(OPTIMIZER) best $(SDXL) --checkpoint)) --output $(RUNXL)/comparison

overnight: setup ## All of it, one after another; typed again it goes on where it stopped
	$(OPTIMIZER) run $(SD15)
	$(OPTIMIZER) transfer $(RUN15)/best_params.json --to sdxl
	$(OPTIMIZER) run $(SDXL) --init-params $(RUN15)/transfer.json
	$(OPTIMIZER) train $(SDXL) --params $(RUNXL)/best_params.json
	$(OPTIMIZER) compare $$($(OPTIMIZER) best $(SD15) --checkpoint) \
		$(RUNXL)/final/$(basename $(notdir $(SDXL))).safetensors --output $(RUNXL)/comparison

dashboard: setup ## optuna-dashboard of a study (STUDY=..., PORT=...), on this machine only
	$(OPTIMIZER) dashboard $(STUDY) --port $(PORT)

tensorboard: setup ## Curves and pictures of a study's trials (STUDY=...), on this machine only
	$(VENV)/bin/tensorboard --logdir $(RUN)

status: setup ## Where a study stands (STUDY=...)
	$(OPTIMIZER) status $(STUDY)

bench: export OMP_NUM_THREADS ?= 1
bench: setup ## Training and scoring against plain loops, as ratios; some ten minutes
	$(VENV)/bin/python benchmarks/trial_against_process.py
	$(VENV)/bin/python benchmarks/step_time.py
	$(VENV)/bin/python benchmarks/scoring_time.py
	$(VENV)/bin/python benchmarks/step_cost.py

screenshots: setup ## The docs' pictures of dashboard and report, taken anew in Chromium
	SCREENSHOTS=docs/images $(VENV)/bin/pytest tests/browser --basetemp=/tmp/lora-screenshots

clean: ## Remove the virtual environment and caches; studies in runs/ stay
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache

help: ## This list
	@grep -hE '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12
