# Every target sets up what it needs: `make demo` and `make test` work from nothing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# --no-compile: of 26,000 modules a few thousand are ever imported, and compiled then
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile

# One thread per process: several workers with a thread pool each fight for the cores.
export OMP_NUM_THREADS = 1
export OPENBLAS_NUM_THREADS = 1
export MLFLOW_DISABLE_TELEMETRY = true
export DO_NOT_TRACK = true
# without bytecode every new process would compile its modules anew: --no-compile above
unexport PYTHONDONTWRITEBYTECODE

# three on two cores, as some tests wait; in the order of tests/conftest.py
WORKERS := -n 3 --dist loadfile --no-loadscope-reorder

.PHONY: help demo dft-demo gpaw test test-slow check format bench perovskites \
	slurm-demo potentials peers browser docs schema dataset truth clean

help:
	@echo "make demo       find the stable phases of Al-Ni-Ti (minutes)"
	@echo "make dft-demo   CHGNet screens, GPAW confirms (minutes; needs g++)"
	@echo "make gpaw       install GPAW for evaluator kind dft (a minute; needs g++)"
	@echo "make test       fast tests (minutes)"
	@echo "make check      formatting, lint, types, layers, tests"
	@echo "make test-slow  full crash, fault and replay tests"
	@echo "make browser    report and dashboard in a headless Chromium (minutes)"
	@echo "make docs       the documentation site, in site/"
	@echo "make bench      measure speed; tables in bench-results/"
	@echo "make perovskites the network by matbench's protocol (an hour; needs the data)"
	@echo "make slurm-demo a campaign as Slurm jobs, killed in three ways (minutes, root)"
	@echo "make potentials  each potential in its own environment, tested (minutes)"
	@echo "make peers      BayBE and Ax beside our own strategies: install and test (minutes)"
	@echo "make dataset    compute the shipped training set anew (hours)"
	@echo "make truth      compute the full answer of the quickstart anew (an hour)"

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	# older pips take a minute longer to read the indexes
	$(PIP) --upgrade 'pip>=26'
	# torch first and exactly: the CPU build, before anything asks for another
	$(PIP) $$(grep '^torch==' constraints.txt)
	$(PIP) --constraint constraints.txt --editable ".[chgnet,fast,generators,phonopy,sevennet,dev]"
	touch $(STAMP)

# GPAW builds from source with nothing but g++: no MPI, BLAS or libxc of the system
$(VENV)/.gpaw: $(STAMP)
	printf "compiler = 'g++'\nmpi = False\nnoblas = True\nnolibxc = True\nlibraries = []\n" \
		> $(VENV)/gpaw_siteconfig.py
	GPAW_CONFIG=$(CURDIR)/$(VENV)/gpaw_siteconfig.py $(PIP) \
		--constraint constraints.txt gpaw gpaw-data
	touch $@

gpaw: $(VENV)/.gpaw

demo: $(STAMP)
	$(BIN)/matdisco run configs/quickstart.yaml --to runs/quickstart

dft-demo: $(VENV)/.gpaw
	$(BIN)/matdisco run configs/dft-demo.yaml --to runs/dft-demo
	$(BIN)/matdisco status runs/dft-demo

test: $(STAMP)
	$(BIN)/python -m pytest -q $(WORKERS)

test-slow: $(STAMP)
	$(BIN)/python -m pytest -q -m slow --timeout 3600

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy --num-workers 2
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q $(WORKERS)

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Real Slurm jobs on this machine; needs Debian or Ubuntu and root for the daemons
slurm-demo: $(STAMP)
	command -v sbatch || apt-get install -y --no-install-recommends slurm-wlm munge
	$(PIP) --constraint constraints.txt parsl
	tests/slurm/slurm.sh start runs/.slurm
	SLURM_CONF=$(CURDIR)/runs/.slurm/slurm.conf PATH=$(CURDIR)/$(BIN):$$PATH \
		$(BIN)/python -m pytest -q -m slurm tests/slurm; code=$$?; \
		tests/slurm/slurm.sh stop runs/.slurm; exit $$code

# Potentials whose pins exclude each other, each in an environment on top of .venv
POTENTIALS ?= lammps diep mace matgl orb mattersim vasp
potentials: $(STAMP)
	tests/potentials.sh $(POTENTIALS)

# Other packages that choose from a pool; their pins fit
peers: $(STAMP)
	$(PIP) --constraint constraints.txt --editable ".[peers]"
	$(BIN)/python -m pytest -q tests/campaigns/test_replay_peers.py

# Installs Chromium where it is missing: Debian or Ubuntu, as root. The pictures are kept.
browser: $(STAMP)
	command -v chromedriver || { apt-get update && \
		apt-get install -y --no-install-recommends chromium chromium-driver; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --editable ".[browser]"
	MATDISCO_SCREENSHOTS=$(CURDIR)/bench-results/screenshots \
		$(BIN)/python -m pytest -q -m browser tests/browser --timeout 1200

docs: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --editable ".[docs]"
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

bench: $(STAMP)
	$(BIN)/python -m pytest -q -m benchmark --timeout 3600 -s

# FOLDS=0 for one fold, some 15 minutes of one core
FOLDS ?= 0 1 2 3 4
perovskites: $(STAMP)
	$(BIN)/python tests/benchmarks/perovskites.py --folds $(FOLDS) --to runs/perovskites

schema: $(STAMP)
	$(BIN)/matdisco schema > configs/schema.json

dataset: $(STAMP)
	$(BIN)/matdisco label configs/datasets/intermetallics.yaml \
		--to matdisco/data/sets/intermetallics.parquet --work runs/.intermetallics

truth: $(STAMP)
	$(BIN)/matdisco label configs/datasets/al-ni-ti.yaml \
		--to matdisco/data/sets/al-ni-ti.parquet --work runs/.al-ni-ti
	$(BIN)/matdisco label configs/datasets/al-ni-ti-sevennet.yaml \
		--to matdisco/data/sets/al-ni-ti-sevennet.parquet \
		--work runs/.al-ni-ti-sevennet

clean:
	rm -rf runs mlflow.db mlartifacts bench-results .pytest_cache .mypy_cache .ruff_cache
