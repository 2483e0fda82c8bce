# Everything starts with `make install`; `make up` and `make test` call it. Exact versions: deploy/lock.
.DEFAULT_GOAL := help
.PHONY: help install install-dev install-servers up test lint compiled pytest format lock bench simulate outages pictures clean

help:
	@echo 'make up          start fanfold: one process, durable, with its console (FANFOLD_PORT 8080, FANFOLD_DATA ./data)'
	@echo 'make test        install all that tests need, real Kafka, Redis, HDFS and Chromium too, and run all checks'
	@echo 'make install     make .venv from the lock; .venv/bin/fanfold is the command'
	@echo 'make lint        ruff and mypy        make format   let ruff rewrite the sources'
	@echo 'make pytest      tests only, ARGS=... goes to pytest; WORKERS=0: one after the other'
	@echo 'make bench       every benchmark, one JSON line each (BENCH="writes rebuild" chooses)'
	@echo 'make simulate    the deterministic simulation: SEEDS=1000 seeds FROM=0; a seed that fails prints itself'
	@echo 'make outages     every server and side away, for AWAY=5,70,300 seconds, under load: a table; about an hour'
	@echo 'make pictures    the console as it looks, dark and light, wide and narrow, into docs/'
	@echo 'make lock        lock again after a change of dependencies (LOCK_OPTIONS=--upgrade: newest versions)'
	@echo 'make clean       remove caches, builds and .venv; never the data'

# The stamps make a second run instant. They live in .venv, so that removing it is enough to start over; an edited
# lock or pyproject.toml installs again.
RUNTIME := .venv/.installed-runtime
DEV := .venv/.installed-dev

$(RUNTIME): deploy/lock/runtime.txt deploy/lock/environment.sh pyproject.toml
	bash deploy/lock/environment.sh runtime
	@touch $@

$(DEV): deploy/lock/dev.txt deploy/lock/environment.sh pyproject.toml
	bash deploy/lock/environment.sh dev
	@touch $(RUNTIME) $@

install: $(RUNTIME)

install-dev: $(DEV)

install-servers:
	@bash deploy/lock/servers.sh

# exec: Ctrl-C and signals reach the process itself, and make does not print its exit as an error of its own.
up: install
	@exec .venv/bin/fanfold up

# The two parts run one after the other even under `make -j`: two cores, and output that can be read.
test: install-dev install-servers
	@$(MAKE) --no-print-directory -j2 lint compiled
	@$(MAKE) --no-print-directory pytest

lint: install-dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy --strict .

# Loops are compiled once for all processes of the tests, a minute, beside the type checker, which has one core, too.
compiled: install-dev
	@.venv/bin/python -c 'from tests.end_to_end.warm_server import warm_up; warm_up()'

# Two at once: most of a run is waiting for processes. A file's tests stay together, and the long files come first.
WORKERS ?= 2
pytest: install-dev
	.venv/bin/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --max-worker-restart 0 $(ARGS)

format: install-dev
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

lock: install-dev
	bash deploy/lock/lock.sh

BENCH ?= writes rebuild kafka
bench: install-dev install-servers
	@for name in $(BENCH); do .venv/bin/fanfold bench $$name || exit 1; done

SEEDS ?= 1000
FROM ?= 0
simulate: install-dev
	@.venv/bin/python -m tests.simulation $(SEEDS) $(FROM)

AWAY ?= 5,70,300
outages: install-dev install-servers compiled
	@.venv/bin/python -m tests.outages --seconds $(AWAY) $(ARGS)

pictures: install-dev
	@.venv/bin/python -m tests.end_to_end.console_screenshots

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .numba_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
