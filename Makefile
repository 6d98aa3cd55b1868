# make run · make test · make browser · make lab · make sweep · make site · make bench · make lint · make publish
PYTHON ?= python3
PROFILE ?= tutorial
ARGS ?=
# A second wheel index for torch where Linux has no GPU: without CUDA, wheels are a tenth of the size.
TORCH_INDEX ?= $(if $(shell test "$$(uname -s)" = Linux && ! command -v nvidia-smi && echo cpu),https://download.pytorch.org/whl/cpu)

BIN := .venv/bin
READY := .venv/.ready

run: $(READY)
	$(BIN)/greenai run --profile $(PROFILE) $(ARGS)

test: $(READY)
	$(BIN)/python -m pytest $(ARGS)

browser: $(READY)
	$(BIN)/python -m pytest tests/browser $(ARGS)

lab: $(READY)
	$(BIN)/greenai lab $(ARGS)

sweep: $(READY)
	$(BIN)/greenai sweep --profile $(PROFILE) $(ARGS)

site: $(READY)
	$(BIN)/sphinx-build -W --keep-going -q -j auto -c docs -d build/doctrees . build/site $(ARGS)

bench: $(READY)
	set -e; for file in benchmarks/[a-z]*.py; do $(BIN)/python $$file; done

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

# Notebook 00 and README quote what the others have published, so they come last.
publish: $(READY)
	$(BIN)/greenai run
	$(BIN)/greenai publish
	$(BIN)/greenai run 00 --force
	$(BIN)/greenai publish
	$(BIN)/python tools/front_page.py

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(if $(TORCH_INDEX),$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --extra-index-url $(TORCH_INDEX) $$(grep '^torch==' requirements.lock))
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

.PHONY: run test browser lab sweep site bench lint publish
