# One command for each thing; each alone on a fresh clone makes .venv first. CI runs the same ones.
#
#   make demo    install, play two grid events against the reference controller, print where the report is
#   make test    every test: first what runs in virtual time, then what runs in real time, each several at a time
#                (ARGS="-k fleet -x" goes to pytest)
#   make lint    ruff, mypy --strict, the import contracts
#   make properties  the properties alone, with up to a thousand examples each, others each time (some minutes)
#   make fuzz    coverage-guided fuzzing of the codecs, FUZZ_SECONDS for each target (60)
#   make selftest  every faulty controller caught, every limit where it says (some minutes); the quick form is in make test
#   make suites  every shipped service against the reference controller set up for it (about a minute)
#   make bench   measure speed against named peers, write benchmarks/latest.json
#   make sanitize  the C around the kernels under the address and undefined-behaviour sanitizers
#   make emulate   prove every x86-64 kernel by the meaning of its instructions, whatever the processor lacks
#   make aarch64   cross-compile the ARM kernels and prove them under qemu-user
#   make matrix  try every client on every face, write docs/reference/client-matrix.md and modbus-clients.md
#   make docs    build the documentation into build/docs
#   make clean   remove what these commands made (runs/ stays)

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
ARGS   ?=
FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?= modbus_tcp modbus_faulty modbus_ways cgminer http looks

SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.NOTPARALLEL:
# The tests start the program some hundreds of times: with its bytecode kept, whatever the surroundings say.
export PYTHONDONTWRITEBYTECODE :=
.PHONY: demo test lint properties selftest fuzz suites bench matrix sanitize emulate aarch64 docs clean

# What an install depends on. Python files are not among them: the install is editable.
SOURCES := pyproject.toml setup.py $(wildcard fastpath/*.pyx fastpath/*.pxi fastpath/*.[ch] fastpath/kernels/*)
RUN     := $(VENV)/.installed-run
DEV     := $(VENV)/.installed-dev

demo: $(RUN)
	@"$(BIN)/ramprig" run suite:demo --out runs/demo $(ARGS)

# What runs in real time mostly waits: more of it at a time than there are cores, each process on a network of its own.
# Neither half imports what the other one runs.
OTHERS := $(filter-out tests/system/,$(wildcard tests/*/))
# Both halves run whatever becomes of the other. One that has nothing to run (pytest's exit 5) is no failure, both are.
test: $(DEV)
	@virtual=0; real=0; \
	"$(BIN)/python" -m pytest -m "not system" --ignore=tests/system -n auto --dist loadscope $(ARGS) || virtual=$$?; \
	"$(BIN)/python" -m pytest -m system $(addprefix --ignore=,$(OTHERS)) -n 4 --dist loadscope $(ARGS) || real=$$?; \
	case $$virtual$$real in 00|05|50) ;; *) exit 1 ;; esac

lint: $(DEV)
	@"$(BIN)/ruff" check --quiet .
	@"$(BIN)/ruff" format --quiet --check .
	@"$(BIN)/mypy" --no-error-summary
	@"$(BIN)/lint-imports" --no-logo
	@echo "lint: clean"

properties: $(DEV)
	@"$(BIN)/python" -m pytest -m "hypothesis and not system" --ignore=tests/system --hypothesis-profile=thorough -n auto $(ARGS)

selftest: $(RUN)
	@"$(BIN)/ramprig" selftest --out runs/selftest $(ARGS)

fuzz: $(DEV)
	@for target in $(FUZZ_TARGETS); do \
	  "$(BIN)/python" -m tests.fuzz "$$target" -max_total_time=$(FUZZ_SECONDS) $(ARGS); \
	done

suites: $(RUN)
	@"$(BIN)/ramprig" run suite:services --out runs/services $(ARGS)

bench: $(DEV)
	@"$(BIN)/python" -m benchmarks $(ARGS)

matrix: $(DEV)
	@"$(BIN)/python" -m tests.clients
	@"$(BIN)/python" -m tests.modbus_clients

# All three compile with the flags of setup.py's table, and end in the program's own verdict.
sanitize:
	@$(PYTHON) tests/fastpath/native/build.py --flags "-g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all"

# The processor needs SHA-NI only: batches have it in C around their loops.
emulate:
	@$(PYTHON) tests/fastpath/native/build.py --emulate --flags=-O1

aarch64:
	@$(PYTHON) tests/fastpath/native/build.py --machine aarch64 --compiler aarch64-linux-gnu-gcc --flags "-O3 -static" --run qemu-aarch64

docs: $(DEV)
	@"$(BIN)/sphinx-build" --quiet --fail-on-warning --keep-going --nitpicky docs build/docs
	@echo "docs: build/docs/index.html"

clean:
	@rm -rf "$(VENV)" build dist ramprig.egg-info fastpath/*.so .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@rm -rf .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(RUN): $(SOURCES)
	@$(call install,.)
	@touch "$@"

$(DEV): $(SOURCES)
	@$(call install,.[dev])
	@touch "$(RUN)" "$@"

# $(call install,WHAT): a virtual environment, if there is none, and WHAT in it; quiet unless it fails.
define install
command -v "$(PYTHON)" > /dev/null || { \
  echo "ramprig needs Python 3.11 or newer, and there is no $(PYTHON); remedy: apt install python3 python3-venv"; exit 1; }; \
"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
  echo "ramprig needs Python 3.11 or newer, $(PYTHON) is $$("$(PYTHON)" -V); remedy: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 1; }; \
"$(PYTHON)" -c 'import venv, ensurepip' 2> /dev/null || { \
  echo "$(PYTHON) cannot make a virtual environment; remedy: apt install python3-venv"; exit 1; }; \
echo "ramprig: installing into $(VENV) (about a minute the first time)"; \
[ -x "$(BIN)/python" ] || "$(PYTHON)" -m venv "$(VENV)"; \
"$(BIN)/python" -m pip install --quiet --disable-pip-version-check -e '$(1)' > "$(VENV)/install.log" 2>&1 || { \
  cat "$(VENV)/install.log"; echo "ramprig: the install failed; the reason stands above"; exit 1; }; \
"$(BIN)/python" -c 'import fastpath, sys; fastpath.BACKEND == "c" or print("ramprig: no compiled kernels (is there a C compiler?): fastpath runs on its pure Python fallback")'
endef
