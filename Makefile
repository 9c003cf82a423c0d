# Every target sets up .venv by itself, once: the stamp is newer than what it was made from.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: help install demo test test-slow docs reproduce lint format clean

help:
	@echo "make demo     train and test the demo, pictures in work_dirs/demo"
	@echo "make test     run the tests"
	@echo "make test-slow  run those that train the demo's models for minutes"
	@echo "make docs     make a site of docs/ in work_dirs/site"
	@echo "make lint     check style and rules"
	@echo "make format   apply the style"
	@echo "make install  set up .venv only"
	@echo "make reproduce NAMES='demo floor'  make figures of README and docs anew; without NAMES all: hours"
	@echo "make clean    remove .venv and work_dirs"

install: $(STAMP)

$(STAMP): requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -r requirements.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $@

demo: install
	$(BIN)/python tools/demo.py

test: install
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

test-slow: install
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile -m slow

# The variable silences material's notice about its own future, which no page can mend.
docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

reproduce: install
	$(BIN)/python tools/reproduce.py $(NAMES)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv work_dirs
