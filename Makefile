# make demo    the demo sample to results/scpress.h5ad and results/report.html
# make test    every check: style, types, workflow (`make check`) and tests (`make pytest`)
# make test-slurm   a real Slurm on this machine (root), and what becomes of a run on it
# make mutants  one-line edits of the code that its tests must notice
# make docs    the documents as a site, site/index.html; a link that leads nowhere is an error
# make schema  write workflow/schemas/config.schema.yaml from the options
#
# Another Python beside the first: make test VENV=.venv-newest PYTHON=python3.13
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Words for pytest.
TESTS :=
# The verbs, snakefmt's shfmt and Snakemake's job scripts are found by name.
export PATH := $(abspath $(BIN)):$(PATH)

.PHONY: demo test check pytest test-slurm mutants docs schema clean
.DELETE_ON_ERROR:

demo: $(STAMP) data/demo.h5ad
	$(BIN)/snakemake
	@echo
	@echo "AnnData: results/scpress.h5ad"
	@echo "Report:  results/report.html"

data/demo.h5ad: | $(STAMP)
	$(BIN)/scpress demo --output $@

test: check pytest

# The lint reads the sheet, and the sheet names the demo.
check: $(STAMP) data/demo.h5ad
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint
	$(BIN)/mypy
	$(BIN)/mkdocs build --strict --site-dir .mypy_cache/site

pytest: $(STAMP) data/demo.h5ad
	@# xdist may wait for ever once it has replaced a process that died, so it replaces none.
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart=0 $(TESTS)

test-slurm: $(STAMP)
	$(BIN)/python tests/slurm/run.py

mutants: $(STAMP)
	$(BIN)/python tests/mutants.py

docs: $(STAMP)
	@# Not quietly: --strict counts the warnings that are said.
	$(BIN)/mkdocs build --strict
	@echo "Site: site/index.html"

schema: $(STAMP)
	$(BIN)/python -m scpress.config.schema > .schema.tmp
	mv .schema.tmp workflow/schemas/config.schema.yaml

# From nothing whenever what is installed may have changed, so that no old package stays behind.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; ok = (3, 11) <= sys.version_info[:2] <= (3, 13); \
	sys.exit(None if ok else "scpress needs Python 3.11 to 3.13; $(PYTHON) is %d.%d. " \
	"Name another: make PYTHON=python3.12" % sys.version_info[:2])'
	@test ! -e $(VENV) || test -e $(VENV)/pyvenv.cfg || \
	{ echo "$(VENV) is not an environment of Python, so it stays. Name another: make VENV=.venv" >&2; exit 1; }
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	@# Not compiled here: Python does that with what is imported, a part of what is installed.
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt \
		--editable '.[dev]'
	@# The demo's counts come with this package; its own requirements are old and not needed.
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile --no-deps scspectra==0.2.1
	touch $@

clean:
	rm -rf .venv .venv-newest .snakemake results site data .mypy_cache .pytest_cache .ruff_cache .hypothesis
