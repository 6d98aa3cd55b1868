# make run · make test · make browser · make lab · make sweep · make site · make bench · make lint · make publish
PYTHON ?= python3
PROFILE ?= tutorial
ARGS ?=
# A wheel index to look at beside PyPI; https://download.pytorch.org/whl/cpu gives torch without CUDA.
TORCH_INDEX ?=

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

# Notebook 00 quotes what the others have published, so it comes once more.
publish: $(READY)
	$(BIN)/greenai run
	$(BIN)/greenai publish
	$(BIN)/greenai run 00 --force
	$(BIN)/greenai publish

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) --requirement requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

.PHONY: run test browser lab sweep site bench lint publish
