# Two commands set everything up on a machine with Python and make:  make lab  ·  make test
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: lab test tour check lint unit contract processes kernel browser notebooks conformance bench clean

# torch goes first and alone: with it in place nothing else asks for another one. On Linux this is its CUDA build, of some
# gigabytes; a CPU build of this version that is in $(VENV) already stays (README.md says where to get one).
$(READY): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet "torch==2.13.0"
	$(BIN)/python -m pip install --quiet --editable ".[notebooks,dev]"
	touch $@

lab: $(READY)
	$(BIN)/jupyter lab notebooks/01_execution_modes.ipynb

tour: $(READY)
	$(BIN)/gaudi-lab tour

test: check contract processes kernel browser notebooks

# For every commit: a few minutes.
check: lint unit

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

unit: $(READY)
	$(BIN)/python -m pytest tests/unit -n 2 --dist loadfile

# The emulated bridge against its written contract, and a slice of PyTorch's own samples.
contract: $(READY)
	$(BIN)/python -m pytest tests/conformance -n 2 --dist loadfile

# Programs as a user starts them: by Python, a launcher, pytest or a compiler, each in processes of its own.
processes: $(READY)
	$(BIN)/python -m pytest tests/processes -n 2 --dist loadfile

kernel: $(READY)
	$(BIN)/python -m pytest tests/kernel -n 2 --dist loadfile

# Warnings of the browser's driver and of JupyterLab's server are theirs.
browser: $(READY)
	$(BIN)/python -m pytest tests/browser -W default -n 2 --dist loadfile

notebooks: $(READY)
	$(BIN)/python -m pytest tests/notebooks -n 2

# One table of what someone else's tests say; ARGS=--no-suites leaves out those that have to be fetched first.
conformance: $(READY)
	$(BIN)/python tests/conformance/runner/run.py --workers 2 $(ARGS)

# Peers, growth and limits, then what the bridge and comparing cost; ARGS=--quick for ten minutes, --write for README.md.
bench: $(READY)
	$(BIN)/python -m pip install --quiet --editable ".[bench]"
	$(BIN)/python benchmarks/bench.py $(ARGS)

clean:
	rm -rf $(VENV) site build dist
