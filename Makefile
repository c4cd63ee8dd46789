# make book      build the book (trains everything) into book/_build/html
# make test      lint, type check and test
# make check     the fast part of it, in three minutes
# make env       only set up .venv
# make sweep-X   run the long study sweeps/X.yml, or what is missing of it, and write sweeps/X.csv
# make bench     time epochs side by side with Adam's (a quarter of an hour), write sweeps/speed.csv
# make lock      renew requirements.lock from pyproject.toml
# make clean     remove what the book's build leaves
PYTHON ?= python3
UV_VERSION := 0.13.9

BIN := .venv/bin
UV := $(BIN)/uv
HTML := book/_build/html/index.html

# TensorFlow's import chatter off; the same rounding whichever kernels a processor offers.
export TF_CPP_MIN_LOG_LEVEL := 2
export TF_ENABLE_ONEDNN_OPTS := 0

.PHONY: env book test check lint bench lock clean
.DELETE_ON_ERROR:

env: .venv/.installed

.venv/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else f"Python 3.11 to 3.13 is needed, $(PYTHON) is {v[0]}.{v[1]}: make PYTHON=python3.12 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	test -x $(UV) || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(UV) pip install --python $(BIN)/python --quiet --compile-bytecode --require-hashes -r requirements.lock
	$(UV) pip install --python $(BIN)/python --quiet --no-deps --no-build-isolation -e .
	@mkdir -p .venv/etc/ipython  # kernels warn about their TCP ports, which only this machine sees
	@echo 'c.IPKernelApp.log_level = 40' > .venv/etc/ipython/ipython_kernel_config.py
	touch $@

# Whatever a page may depend on; the build by itself does not see changes in the package.
SOURCES := _config.yml _toc.yml $(shell find book emtdamp sweeps -type f \
  -not -path '*/_build/*' -not -path '*/_generated/*' -not -path '*/.*' -not -name '*.pyc')

book: $(HTML)

$(HTML): .venv/.installed $(SOURCES)
	rm -rf book/_build book/_generated
	$(BIN)/jupyter-book build -W -n --keep-going book

# One thread a process: they share the processors by files of tests.
PYTEST := OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4

test: lint
	$(PYTEST)

check: lint
	$(PYTEST) -m "not slow and not book"

lint: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright

sweep-%: .venv/.installed
	$(BIN)/python -m emtdamp.study.sweep sweeps/$*.yml --jobs 2

bench: .venv/.installed
	$(BIN)/python -m benchmarks

lock: .venv/.installed
	$(UV) pip compile --quiet --universal --generate-hashes --no-header --no-annotate \
	  --no-emit-index-url --python-version 3.11 --extra test pyproject.toml -o requirements.lock

clean:
	rm -rf book/_build book/_generated
