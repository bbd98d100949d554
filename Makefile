# `make` alone lists the targets.

# Python 3.11 is what the tests run on; any newer python3 is tried in its place.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin

# TensorFlow's start-up notes, and the error it logs on a machine without a GPU,
# would drown the targets' own output. Real failures are Python exceptions.
export TF_CPP_MIN_LOG_LEVEL ?= 3
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# Tests trace graphs most of the time, which keeps one core busy. A file stays in one
# process, since its tests share fixtures. Four at most: each takes some gigabytes. More
# processes than cores slow one another down by a third. The files come in the order of
# tests/conftest.py, since those of the most tests are not the longest.
WORKERS ?= --numprocesses=auto --maxprocesses=4 --dist=loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo saved-model docs screenshot test test-slow test-all test-oldest test-oldest-core lint format api wheel clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 24

demo: .venv/demo  ## install into .venv once, then run keras-invprune demo
	@$(BIN)/keras-invprune demo

# By the oldest Keras, whose files every later one can read.
saved-model: .venv-oldest/stamp  ## train, prune and export saved_models/digits again
	@.venv-oldest/bin/python saved_models/build.py

docs: .venv/dev  ## draw the plots of results, build the pages and the API reference into build/docs
	$(BIN)/python docs/plots.py
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs build/docs
	@echo 'build/docs/index.html'

screenshot: .venv/dev  ## take the README's picture of TensorBoard again (needs chromium)
	$(BIN)/keras-invprune run --dataset tfds:mnist --sparsity 0.95 --out build/mnist
	$(BIN)/python docs/screenshot.py build/mnist/tensorboard docs/tensorboard.png

test: .venv/dev  ## lint, all tests but the slow ones, and the wheel check; CI runs this and the next
	@$(MAKE) --no-print-directory lint
	$(BIN)/python -m pytest $(WORKERS) -m "not slow and not heavy"
	@$(MAKE) --no-print-directory wheel

test-slow: .venv/dev  ## the slow tests: guides, examples, killed commands, whole campaigns
	$(BIN)/python -m pytest $(WORKERS) -m "slow and not heavy"

test-all: .venv/dev  ## every test, including those that take gigabytes or minutes
	AS_FOR_USERS=1 $(BIN)/python -m pytest --numprocesses=1 -m "heavy or not heavy"

# What the oldest libraries have to do in CI: the machine and the files.
CORE := tests/pruning/test_masked.py tests/pruning/test_prune.py tests/graph/test_copying.py \
  tests/exporting/test_export.py

test-oldest: .venv-oldest/stamp  ## the tests with the oldest libraries (.ci/oldest.txt)
	.venv-oldest/bin/python -m pytest $(WORKERS)

test-oldest-core: .venv-oldest/stamp  ## the part of test-oldest that CI runs
	.venv-oldest/bin/python -m pytest $(WORKERS) $(CORE)

lint: .venv/dev  ## check style, formatting, types and spelling, change nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell

format: .venv/dev  ## fix what ruff can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

api: .venv/dev  ## rewrite the list of public names and signatures
	$(BIN)/python tests/compat/public_api.py

wheel: .venv/dev  ## build the wheel into dist/ and try it outside the source tree
	$(BIN)/python .ci/check_wheel.py

clean:  ## remove everything that the other targets made
	rm -rf .venv .venv-oldest build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis keras-invprune-demo
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo 'Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11' >&2; \
	  exit 1; }
	@$(PYTHON) -m venv .venv

# The stamps: an environment is installed again only when its dependencies change.
.venv/demo: pyproject.toml | .venv/bin/python
	@echo 'Installing keras_invprune and TensorFlow into .venv (once, 2 to 4 minutes)'
	@$(BIN)/python -m pip install -qq --editable '.[demo]'
	@touch $@

.venv-oldest/stamp: pyproject.toml .ci/oldest.txt
	@echo 'Installing keras_invprune and the oldest libraries into .venv-oldest (once)'
	@$(PYTHON) -m venv .venv-oldest
	@.venv-oldest/bin/python -m pip install -qq --constraint .ci/oldest.txt \
	  --editable '.[bench,demo,onnx,openvino,pack,quantize,structure]' hypothesis pytest pytest-timeout pytest-xdist setuptools
	@touch $@

.venv/dev: pyproject.toml | .venv/bin/python
	@echo 'Installing keras_invprune and its tests into .venv (once, 3 to 5 minutes)'
	@$(BIN)/python -m pip install -qq --editable '.[dev]'
	@touch .venv/demo $@
