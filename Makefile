# make book      build the book (trains everything) into book/_build/html
# make test      lint, type check and test
# make env       only set up .venv
# make sweep-X   rerun the long study X of sweeps/X.yml and replace sweeps/X.csv
PYTHON ?= python3
UV_VERSION := 0.13.8

BIN := .venv/bin
UV := $(BIN)/uv
HTML := book/_build/html/index.html

# TensorFlow's import chatter off; the same rounding whichever kernels a processor offers.
export TF_CPP_MIN_LOG_LEVEL := 2
export TF_ENABLE_ONEDNN_OPTS := 0

.PHONY: env book test lock clean
.DELETE_ON_ERROR:

env: .venv/.installed

.venv/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else f"Python 3.11 to 3.13 is needed, $(PYTHON) is {v[0]}.{v[1]}: make PYTHON=python3.12 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	test -x $(UV) || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(UV) pip install --python $(BIN)/python --quiet --require-hashes -r requirements.lock
	$(UV) pip install --python $(BIN)/python --quiet --no-deps --no-build-isolation -e .
	touch $@

lock: .venv/.installed
	$(UV) pip compile --quiet --universal --generate-hashes --no-header --no-annotate \
	  --no-emit-index-url --python-version 3.11 --extra test pyproject.toml -o requirements.lock
