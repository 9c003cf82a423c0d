# Every target sets up .venv by itself, once: the stamp is newer than what it was made from. It keeps the Python that
# it was made with: another one put over it would leave packages of both.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
# The page has an environment of its own: gradio wants an older Pillow than the rest was tested with.
WEB_BIN := .venv-web/bin
WEB_STAMP := .venv-web/.installed
CHROMIUM_HELP := no chromium, and apt-get cannot install it; install a package that gives the command chromium
SERVE :=

.PHONY: help install demo web test test-slow chromium test-web docs reproduce lint audit format clean

help:
	@echo "make demo     train and test the demo, pictures in work_dirs/demo"
	@echo "make web      serve the web page of the demo; SERVE='--model FOLDER' for another model"
	@echo "make test     run the tests"
	@echo "make test-slow  run those that train the demo's models for minutes"
	@echo "make docs     make a site of docs/ in work_dirs/site"
	@echo "make test-web  run those of the web page, in Chromium"
	@echo "make lint     check style, rules and types"
	@echo "make audit    look for known faults of the packages in requirements.txt; asks the package index"
	@echo "make format   apply the style"
	@echo "make install  set up .venv only"
	@echo "make reproduce NAMES='demo floor'  make figures of README and docs anew; without NAMES all: hours"
	@echo "make clean    remove .venv, .venv-web and work_dirs"

install: $(STAMP)

$(STAMP): requirements.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -r requirements.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $@

$(WEB_STAMP): requirements-web.txt $(STAMP)
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-web
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(WEB_BIN)/python -r requirements-web.txt
	$(BIN)/uv pip install --quiet --python $(WEB_BIN)/python --no-deps --editable .
	touch $@

web: $(WEB_STAMP)
	$(WEB_BIN)/python tools/serve.py $(SERVE)

demo: install
	$(BIN)/python tools/demo.py

test: install
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

test-slow: install
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile -m slow

# The variable silences material's notice about its own future, which no page can mend.
docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

chromium:
	command -v chromium || (apt-get update -qq && apt-get install -qq -y chromium) || (echo "$(CHROMIUM_HELP)"; exit 1)

test-web: $(WEB_STAMP) chromium
	$(WEB_BIN)/python -m pytest tests/web tests/tools/test_serve.py -m "" --junitxml=work_dirs/test-web.xml

reproduce: install
	$(BIN)/python tools/reproduce.py $(NAMES)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/ty check

# --strict: where the index does not answer, that is an error, and not an audit that found nothing.
audit: install
	$(BIN)/uvx --quiet pip-audit@2.10.1 --strict --disable-pip --no-deps --progress-spinner off -r requirements.txt

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv .venv-web work_dirs
