# Two commands do everything: `make demo` and `make test`. Both set up what they need first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: setup demo test check env-example clean

setup: $(READY)

demo: $(READY)
	$(BIN)/python main.py ingest data/sample
	$(BIN)/python main.py ask "How many bytes of GPU memory per parameter does mixed-precision training with Adam need?"

test: $(READY)
	$(BIN)/python -m pytest -q

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

env-example: $(READY)
	$(BIN)/python -c "import pathlib, settings; pathlib.Path('.env.example').write_text(settings.env_example())"

# Made anew when a pin or a dependency changes. CMAKE_ARGS, where it is set, reaches the build of llama-cpp-python.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || \
		{ echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version 2>&1). Run: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c "import ensurepip, venv" || \
		{ echo "Python's venv module is missing. On Debian or Ubuntu: apt install python3-venv" >&2; exit 1; }
	@command -v c++ >/dev/null && command -v cc >/dev/null || \
		{ echo "A C and C++ compiler is needed to build llama.cpp. On Debian or Ubuntu: apt install build-essential" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -qq --upgrade pip
	@echo "Installing (the first time takes several minutes: llama.cpp is compiled here)"
	$(BIN)/python -m pip install -qq -c constraints.txt -e ".[test]"
	@touch $(READY)

clean:
	rm -rf $(VENV) build *.egg-info
