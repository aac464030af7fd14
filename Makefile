PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: run test lint bench snapshots wheel-check clean

run: $(STAMP)  ## open the live UI on the model that ships with the package
	$(BIN)/infertop smallcnn

test: $(STAMP)
	$(BIN)/python -m pytest $(ARGS)

lint: $(STAMP)
	mkdir -p .lint && ln -sfn .. .lint/infertop
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	MYPYPATH=.lint $(BIN)/mypy -p infertop
	$(BIN)/lint-imports

bench: $(STAMP)  ## the budgets, measured and printed; nothing is asserted
	$(BIN)/python -m infertop.tests.bench $(ARGS)

snapshots: $(STAMP)  ## the pictures of every screen and README's, drawn anew, to be looked at
	$(BIN)/python -m infertop.docs.pictures
	INFERTOP_SNAPSHOTS=update $(BIN)/python -m pytest -q tests/tui/test_snapshots.py tests/tui/test_recorded.py

wheel-check: $(STAMP)  ## the wheel, in a clean environment away from the checkout, measures without torch
	PYTHON=$(PYTHON) .ci/wheel-check

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[torch,onnx,test]'
	touch $(STAMP)

clean:
	rm -rf .venv .lint build dist *.egg-info
