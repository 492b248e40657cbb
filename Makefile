# The two commands of the README are `make demo` and `make test`.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: help demo test notebook env env-dev lint lock screenshots clean

help:            ## what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

demo: env        ## from real data to a signed, verified audit document in reports/
	@$(BIN)/hitl-audit demo --out reports/mortgage

test: env-dev    ## install what the tests need and run them all
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python tools/run_tests.py

notebook: env    ## open the notebooks in JupyterLab
	@$(BIN)/jupyter lab notebooks/01_audit.ipynb

screenshots: env-dev  ## every state of the review page as a picture, in reports/screenshots
	@$(BIN)/python tools/screenshots.py

env:
	@$(PYTHON) tools/setup_env.py $(VENV) requirements.lock --extras notebook,examples

env-dev:
	@$(PYTHON) tools/setup_env.py $(VENV) requirements-dev.lock --extras dev --system

lock: env-dev    ## renew the lock files from pyproject.toml
	@$(BIN)/python -m pip install --quiet uv
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 \
		--no-emit-index-url --no-annotate \
		--extra dev pyproject.toml -o requirements-dev.lock
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 \
		--no-emit-index-url --no-annotate \
		--constraints requirements-dev.lock --extra notebook --extra examples pyproject.toml -o requirements.lock

clean:           ## remove the environment and everything that was made
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis reports/mortgage
