# Every target does its own set-up, from a bare Python and make: an environment in .venv, no root rights.
#   make demo    the main job on a sample patient: risk, heatmaps and a report in demo-output/, then the viewer
#   make test    style, types and every test, those of the scene with the desktop's libraries too
#   make lint    style and types only
#   make bench   benchmarks, and the README's table of them; BENCH_THREADS=2 by the wall clock on a quiet machine
#   make science every row of the results redone: some nights; SCALE=0.02 for a quick pass
#   make matrix  the tests under Python 3.10, 3.12 and 3.13, as far as they are here and torch can be had
#   make fuzz    coverage-guided fuzzing of every reader, SECONDS=60 each (fetches atheris into .venv)
#   make pictures  the README's pictures and those that the page is compared with, taken anew
#   make clean   removes what the other targets made, environments included
# PYTHON=/path/to/python names the interpreter .venv is made with; PYTEST_ARGS passes options to pytest; SERVE=0 starts no viewer.

SHELL := /bin/sh
PYTHON ?= $(shell for name in python3 python3.11 python3.12 python3.13 python3.10 python; do \
	"$$name" -c "import sys; sys.exit(sys.version_info < (3, 6))" 2>/dev/null && { echo "$$name"; break; }; done)
BIN := .venv/bin
SLICER512 := .venv-slicer512/bin
SAMPLE ?= Resources/SampleData/sub-03
DEMO_OUTPUT ?= demo-output
SERVE ?= 1
PYTEST_ARGS ?=
SECONDS ?= 60
SCALE ?= 1
READERS ?=
PYTHONS ?=

.DEFAULT_GOAL := help
.PHONY: help setup setup-slicer512 demo test lint bench fuzz science matrix pictures lock clean

help:
	@sed -n 's/^#   //p' Makefile

setup:
	@if [ -z "$(PYTHON)" ]; then echo "set-up: no Python was found; install Python 3.10 to 3.13." >&2; exit 1; fi
	@"$(PYTHON)" .ci/setup.py

setup-slicer512: setup
	@"$(PYTHON)" .ci/setup.py slicer512

demo: setup
	@$(BIN)/temporal-glioma-risk predict "$(SAMPLE)" --output "$(DEMO_OUTPUT)"
	@if [ "$(SERVE)" != 0 ] && [ -z "$$CI" ]; then \
		$(BIN)/python -m TemporalGliomaRisk view "$(DEMO_OUTPUT)" --timeline "$(SAMPLE)" || [ $$? -eq 130 ]; \
	fi

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

# Two processes of one thread each; a file's tests stay in one, for they share what is costly.
test: lint setup-slicer512
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile $(PYTEST_ARGS)
	@$(SLICER512)/python -m pytest Testing/scene

bench: setup
	@$(BIN)/python -m pytest Testing/benchmarks -o python_files="*.py" -o timeout=3600 -s $(PYTEST_ARGS)
	@$(BIN)/python Testing/benchmarks/readme_table.py

fuzz: setup
	@$(BIN)/python Testing/fuzz/run_fuzzing.py --seconds $(SECONDS) $(READERS)

science: setup
	@$(BIN)/python Testing/science/redo.py --output science-output --scale $(SCALE)

matrix:
	@"$(PYTHON)" .ci/matrix.py $(PYTHONS)

pictures: setup
	@$(BIN)/python Testing/browser/take_pictures.py
	@KEEP_REFERENCES=1 $(BIN)/python -m pytest Testing/browser/test_in_chromium.py -q -k looks_as_its_reference

lock: setup
	@$(BIN)/python .ci/lock.py

clean:
	rm -rf .venv .venv-slicer512 .venv-virtualenv .venv-3.* build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	rm -rf demo-output
	find TemporalGliomaRisk Testing .ci -name __pycache__ -type d -prune -exec rm -rf {} +
