# Everything a fresh machine needs is made here. Requires only Python 3.11 to 3.13 and make.
#
#   make run      run the nightly pipeline with pipeline_config.yaml
#   make test     run the tests
#   make quick    run the tests that need no server, no browser and less than a second each
#   make coverage run the tests and say which lines none of them reaches
#   make fuzz     run the tests of properties on examples that no run has seen
#   make check    check format, lint, strict types and import layers
#   make encoders install torch and pre-trained text encoders, which enables their tests
#   make serve    start Prefect server, worker and nightly deployment on this machine
#   make help     show this text

PYTHON ?= $(firstword $(foreach v,python3.11 python3.12 python3.13 python3,$(if $(shell $(v) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo ok),$(v))))
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
INSTALLED_DEV := $(VENV)/.installed-dev
INSTALLED_ENCODERS := $(VENV)/.installed-encoders
# All extras except torch: they are small, and the tests use them.
DEV := dev,explore,formats,index,s3,postgres,chinese,japanese,thai,subword,spacy,dask
DEV_ENCODERS := $(DEV),encoders,dev-encoders

# Containers often set this. Without bytecode on disk, each of the many processes that a night and
# the tests start compiles the package again: 0.6 s.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test quick fuzz coverage check encoders format serve constraints clean help
.DEFAULT_GOAL := help

run: $(INSTALLED)
	$(BIN)/nightjar run $(ARGS)

# In parallel, two processes more than cores, because many tests wait for servers and for processes
# that they kill. Tests of a file mostly stay together: they share their set-up.
JOBS ?= $(shell n=$$(getconf _NPROCESSORS_ONLN); echo $$((n < 4 ? n + 2 : 6)))
test: $(INSTALLED_DEV)
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(ARGS)

quick: $(INSTALLED_DEV)
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal \
		-m "not slow and not integration" $(ARGS)

fuzz: $(INSTALLED_DEV)
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal \
		-m hypothesis --hypothesis-profile=new $(ARGS)

# With Python 3.12 and later (PYTHON=python3.13 on a fresh clone) it takes little longer than the
# tests alone; with 3.11, which counts lines in another way, several times as long.
coverage: $(INSTALLED_DEV)
	COVERAGE_CORE=sysmon $(BIN)/python -m pytest -n $(JOBS) --dist worksteal --cov --cov-report=term:skip-covered $(ARGS)

check: $(INSTALLED_DEV)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tests/architecture_picture.py --check

format: $(INSTALLED_DEV)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

encoders: $(INSTALLED_ENCODERS)

serve: $(INSTALLED)
	$(BIN)/nightjar serve $(ARGS)

# Renews the pins after a change of the bounds in pyproject.toml. Header and package links are
# omitted, so that the file names no registry.
constraints: $(INSTALLED_DEV)
	$(BIN)/uv pip compile --quiet --universal --upgrade --all-extras --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links --output-file constraints.txt pyproject.toml

# uv is several times faster than pip; where it cannot reach a registry that pip is configured for,
# pip installs the same pins. Byte-compiling now saves it at the first start, or at every start
# where nothing can be written.
define install
	test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -c constraints.txt \
		-e '$(1)' \
		|| $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '$(1)'
endef

$(INSTALLED): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "nightjar needs Python 3.11, 3.12 or 3.13 on the PATH" >&2; exit 2; }
	$(call install,.)
	@touch $@

$(INSTALLED_DEV): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "nightjar needs Python 3.11, 3.12 or 3.13 on the PATH" >&2; exit 2; }
	$(call install,.[$(DEV)])
	@touch $@ $(INSTALLED)

# pip installs torch, because a machine may offer a build without CUDA to pip alone.
$(INSTALLED_ENCODERS): $(INSTALLED_DEV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(call install,.[$(DEV_ENCODERS)])
	@touch $@

clean:
	rm -rf .coverage* $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | sed -n '1,10p'
