# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
#
# make check     the fast part: linters, types, unit tests
# make test      everything; installs what it needs; make test STEPS="sanity-2.21 tarball" runs only these
# make test-v2   the tests of real hosts again, on a virtual machine with cgroup v2
# make stress    apps of running pods come and go at random; SEED=NUMBER and OPERATIONS=NUMBER repeat a run
# make coverage  the unit tests with the branches that they run, and their minimum
# make demo      this machine becomes a pod host and shows it; make demo-clean takes all of it away
# make options   the argument specifications of the modules, out of the runtime's table of options
# make docs      the documentation site, in .cache/docs/build/html
PYTHON := .venv/bin/python
STEPS ?=

.PHONY: venv .venv-only lock check test test-v2 stress coverage demo demo-clean options docs bench behaviours clean

venv:
	@tests/pipeline/venv

.venv-only:
	@tests/pipeline/venv --main

lock: .venv-only
	@tests/pipeline/lock

check: .venv-only
	@$(PYTHON) tests/pipeline/run.py --check

test: .venv-only
	@$(PYTHON) tests/pipeline/run.py $(STEPS)

test-v2: .venv-only
	@$(PYTHON) tests/pipeline/run.py --v2

stress: .venv-only
	@tests/stress/run

coverage: .venv-only
	@tests/pipeline/unit 3.11 --coverage -n 2 -m "not slow"

demo: .venv-only
	@tests/pipeline/play playbooks/demo.yml

demo-clean: .venv-only
	@tests/pipeline/play playbooks/demo.yml -e demo_state=absent

options: .venv-only
	@PATH=$(CURDIR)/.venv/bin:$$PATH $(PYTHON) tests/pipeline/argument_specs.py

docs: .venv-only
	@tests/pipeline/docs

bench: .venv-only
	@tests/pipeline/packages --peers
	@$(PYTHON) benchmarks/run.py

behaviours: .venv-only
	@$(PYTHON) tests/pipeline/behaviours.py

clean:
	rm -rf .venv .venv-2.21 .venv-3.9 .venv-3.13 .cache tests/output
