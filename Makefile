# make lab    the course in JupyterLab: makes .venv on the first run, starts at once on the next
# make test   the same environment, then every test
#
# Another Python:  make lab PYTHON=/path/to/python3.12

ENOUGH := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$p -c '$(ENOUGH)' >/dev/null 2>&1 && echo $$p && break; done)

# Three processes for two cores: those with a browser wait much of the time.
PYTEST := -m pytest -n 3 --dist loadfile --no-loadscope-reorder
NBVAL := --nbval --nbval-kernel-name forked --nbval-cell-timeout 1800
# What another Triton, numpy, ipywidgets, IPython or plotly could change; the ledger, say, is plain Python.
AGAIN := tests/attention tests/viz/test_viz_data.py tests/practice/test_predict.py tests/practice/test_render.py tests/machine
LOCK := uv pip compile --universal --python-version 3.11 --fork-strategy fewest --no-annotate --no-header --quiet

# Dozens of kernels and commands of the tests import the course: it is compiled once, and kept.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help lab test test-colab build lock clean

help: ## this list
	@echo "The course, from a checkout:"
	@sed -n 's/^\([a-z-]*\):.*## /  make \1 #/p' Makefile | awk -F'#' '{printf "%-19s%s\n", $$1, $$2}'

lab: .venv/.lab ## open lesson 00 in JupyterLab (makes .venv first, a few minutes once)
	@.venv/bin/course lab

test: .venv/.dev ## every test: style, units, notebooks, the build, and the browser where Chromium is found
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	@# The browser's tests run each notebook and compare what it prints. Without a browser nbval does.
	.venv/bin/python $(PYTEST) tests $$(.venv/bin/python tests/browser/lab.py || echo $(NBVAL) notebooks solutions)

test-colab: .venv-colab/.dev ## the lessons and what depends on versions again, with Colab's packages (torch and Python apart)
	.venv-colab/bin/python tests/shared/install_as_on_colab.py
	.venv-colab/bin/python $(PYTEST) $(NBVAL) notebooks $(AGAIN)

verified: .venv/.dev .venv-colab/.dev ## run the lessons in both environments, and write the README's table of it
	.venv/bin/python -m pytest -n 2 tests/browser/test_lessons.py --record-verified cpu
	.venv-colab/bin/python tests/shared/install_as_on_colab.py
	.venv-colab/bin/python -m pytest -n 2 --dist loadfile $(NBVAL) notebooks tests/shared --record-verified colab

build: .venv/.dev ## notebooks from their sources; executes those whose code has changed
	.venv/bin/course build

lock: .venv/.dev ## resolve the locks again, newest versions that pyproject.toml and locks/*.in allow
	.venv/bin/pip install --quiet uv
	.venv/bin/$(LOCK) --upgrade --extra lab --extra triton --extra serve -c locks/local.in pyproject.toml -o requirements.lock
	.venv/bin/$(LOCK) --upgrade --extra lab --extra triton --extra serve --extra test --extra teach --extra site \
		-c locks/local.in -c requirements.lock pyproject.toml -o locks/dev.lock
	.venv/bin/$(LOCK) --upgrade --extra serve --extra test --override locks/colab.in --no-emit-package triton \
		pyproject.toml -o locks/colab.lock

clean: ## remove the environments
	rm -rf .venv .venv-colab

# Each stamp says that an environment holds what its lock says; it is made again when the lock changes. Python compiles
# what is imported when it is imported: all of it at once would take half of the time of an installation.
.venv/.lab: requirements.lock pyproject.toml
	@$(call new_venv,.venv)
	.venv/bin/pip install --quiet --no-compile -r requirements.lock
	.venv/bin/pip install --quiet --no-deps -e .
	@touch $@

.venv/.dev: .venv/.lab locks/dev.lock
	.venv/bin/pip install --quiet --no-compile -r locks/dev.lock
	@touch $@

# torch names the Triton it was built for; Colab's is older, so it comes last and without asking.
.venv-colab/.dev: locks/colab.lock locks/colab.in pyproject.toml
	@$(call new_venv,.venv-colab)
	.venv-colab/bin/pip install --quiet --no-compile -r locks/colab.lock
	@case "$$(uname -s)" in Linux) .venv-colab/bin/pip install --quiet --no-deps $$(sed -n 's/^\(triton==[^ ]*\).*/\1/p' locks/colab.in);; esac
	@touch $@

define new_venv
if [ -z "$(PYTHON)" ]; then \
	echo "The course needs Python 3.11 or newer with its venv module, and found none here."; \
	echo "  python3 is: $$(python3 --version 2>&1 || true)"; \
	echo "Install one (python.org; Debian and Ubuntu: apt install python3 python3-venv; macOS: brew install python)"; \
	echo "or say where it is: make lab PYTHON=/path/to/python3.12"; \
	exit 1; \
fi; \
if [ ! -x $(1)/bin/pip ]; then echo "Making $(1) with $$($(PYTHON) --version) ..."; $(PYTHON) -m venv $(1); fi; \
echo "Installing the course into $(1); the first time this takes a few minutes ..."
endef
