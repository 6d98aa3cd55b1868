# make run · make test · make lab · make sweep · make bench · make lint · make publish
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

lab: $(READY)
	$(BIN)/jupyter lab --ip=127.0.0.1 --LabApp.news_url= --LabApp.extension_manager=readonly notebooks $(ARGS)

sweep: $(READY)
	$(BIN)/greenai sweep --profile $(PROFILE) $(ARGS)

bench: $(READY)
	set -e; for file in benchmarks/*.py; do $(BIN)/python $$file; done

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

publish: $(READY)
	$(BIN)/greenai run
	$(BIN)/greenai publish

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) --requirement requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

.PHONY: run test lab sweep bench lint publish
