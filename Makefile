# SprintPack. `make` alone lists the verbs; each does all the set-up it needs itself.

CONFIG   ?= release
PREFIX   ?= /usr/local
FIXTURE  := Tests/Fixtures/tiny-sprint
CONTROL  := Tests/Fixtures/tiny-sprint-controlnet
SCRIBBLED := a yellow star on a blue background
PROMPT   ?= a large red circle on a blue background
BIN      := .build/$(CONFIG)/sprintpack
ORACLE   := .build-oracle/bin/python
PEERS    := .build-peers/bin/python

# Tests see what is inside of rooms, which takes a flag; with SHARED=1 the program is built with it too, and what both have in common once.
SHARED   ?=
TESTABLE := $(if $(SHARED),-Xswiftc -enable-testing)

# What the program is linked with and loads, and what the tests check it with: a second reader of the format, figures by numpy, the reports' schema.
BUILD_PACKAGES := libopenblas-dev libzstd-dev libxxhash-dev libpng-dev pkg-config
TEST_PACKAGES  := python3 python3-numpy python3-zstandard python3-xxhash python3-jsonschema exfatprogs exfat-fuse

.DEFAULT_GOAL := help
.PHONY: help setup setup-test build release demo test test-debug test-avx512 fuzz lint format bench bench-gpu gpu-bundle gpu-rehearsal gpu fixtures unchanged kernels quality size install clean

help: ## List the verbs.
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Installs the Debian packages of $(1) that are missing: as root, or through sudo where it asks for no password.
define install_packages
	@missing=; for p in $(1); do dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	echo "missing Debian packages:$$missing"; \
	if [ "$$(id -u)" = 0 ]; then as_root=; \
	elif sudo -n true 2>/dev/null; then as_root=sudo; \
	else echo "Not root. Install them with:  sudo apt-get update && sudo apt-get install -y$$missing"; exit 1; fi; \
	$$as_root apt-get update -qq && $$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing
endef

setup: ## Install the Debian packages the build needs, where they are missing.
	$(call install_packages,$(BUILD_PACKAGES))

setup-test: setup
	$(call install_packages,$(TEST_PACKAGES))

build: setup ## Build in debug mode.
	swift build

release: setup ## Build the optimised program: .build/release/sprintpack.
	swift build -c $(CONFIG) --product sprintpack $(TESTABLE)

demo: release ## Convert the embedded checkpoint to int8, verify it against its source, draw pictures: of a prompt, and after a scribble.
	$(BIN) convert $(FIXTURE) --controlnet $(CONTROL) -o .build/tiny-sprint.sprint --preset int8 --force
	$(BIN) verify .build/tiny-sprint.sprint --against $(FIXTURE) --controlnet $(CONTROL) --html demo.html
	$(BIN) generate .build/tiny-sprint.sprint --prompt "$(PROMPT)" --steps 2 --seed 0 --width 128 --height 128 -o demo.png --force
	$(BIN) generate .build/tiny-sprint.sprint --prompt "$(SCRIBBLED)" --control $(CONTROL)/star-scribble.png --steps 1 --seed 101 -o demo-scribble.png --force
	@echo
	@echo "\"$(SCRIBBLED)\", after $(CONTROL)/star-scribble.png, is $(CURDIR)/demo-scribble.png"
	@echo "The picture of \"$(PROMPT)\" is $(CURDIR)/demo.png; the proof that the file is right is $(CURDIR)/demo.html"

test: setup-test ## Run the test suite, optimised (CONFIG=debug for the other build).
	SPRINTPACK_PYTHON=/usr/bin/python3 swift test -c $(CONFIG) $(if $(SHARED),--disable-testable-imports) $(TESTABLE)

test-debug: ## Run the test suite in debug mode.
	$(MAKE) test CONFIG=debug

test-avx512: setup ## Run the AVX-512 kernels on any CPU, through portable stand-ins for its instructions.
	@mkdir -p .build
	clang -std=gnu17 -O2 -ffp-contract=off -Wno-psabi -DCK_EMULATE_AVX512 -ISources/CKernels/include \
	    Sources/CKernels/*/*.c Tests/KernelsTests/Emulated/avx512_check.c -lm -o .build/avx512-check
	.build/avx512-check

# libFuzzer guides, the address sanitizer watches, in C also that of undefined behaviour (Swift's own checks are always there).
FUZZ_FLAGS := -c release --product fuzz --scratch-path .build/fuzz -Xswiftc -sanitize=fuzzer,address -Xswiftc -use-ld=lld \
    -Xcc -fsanitize=fuzzer-no-link,address,undefined -Xcc -fno-sanitize-recover=undefined
TIME   ?= 60
PARSER ?=

fuzz: setup-test ## Fuzz every parser for TIME seconds each (60), or PARSER alone; what crashes one is kept in .build/fuzz/crashes.
	SPRINTPACK_FUZZ=1 swift build $(FUZZ_FLAGS)
	@Tests/Fuzz/fuzz.sh .build/fuzz/release/fuzz .build/fuzz $(TIME) $(PARSER)

lint: ## Check the format, the length of files and marks of unfinished work.
	swift format lint --strict --recursive Sources Tests Package.swift
	@long=$$(git ls-files 'Sources/*.swift' 'Sources/*.c' 'Sources/*.h' 'Tests/*.swift' 'Tests/*.c' | xargs wc -l | awk '$$2 != "total" && $$1 > 600 { print "  " $$2 ": " $$1 " lines" }'); \
	if [ -n "$$long" ]; then echo "files over 600 lines:"; echo "$$long"; exit 1; fi
	@if git grep -nwE 'TODO|FIXME|HACK' -- Sources Tests || git grep -nE 'fatalError\(|try!' -- Sources; then echo "marks of unfinished work"; exit 1; fi

# The commit that `make size` compares with: the last tag; before there was one, version 0.1.
SINCE ?= $(or $(shell git describe --tags --abbrev=0 2>/dev/null),$(shell git rev-parse -q --verify '98e0240^{commit}' 2>/dev/null))

size: ## Count lines, `package` declarations and lines with `unsafe` of every room, beside the last tag (SINCE=COMMIT for another).
	@Tests/size.sh $(SINCE)

format: ## Format the Swift sources in place.
	swift format --in-place --recursive Sources Tests Package.swift

$(PEERS): Tests/Bench/requirements.txt Tests/Fixtures/oracle/requirements.txt
	python3 -m venv .build-peers
	.build-peers/bin/pip install -q -r $<
	touch $(PEERS)

# What these measure is the CPU's, whatever card is in the machine.
bench quality: export SPRINTPACK_CUDA_LIBRARY := /nonexistent/libcuda.so.1

bench: release $(PEERS) ## Time real-size checkpoints beside PyTorch and OpenVINO (ROWS=... for some; an hour, and 40 GB below CACHE=...).
	$(PEERS) Tests/Bench/bench.py $(BIN) --json .build/bench.json --svg .build/bench.svg $(if $(ROWS),--rows $(ROWS)) $(if $(CACHE),--cache $(CACHE))

define BENCH_GPU
@mkdir -p .build
clang -std=gnu17 -O2 -Wno-deprecated-non-prototype -I$(GPU_KERNELS)/include Tests/Bench/gpu.c $(GPU_KERNELS)/kernels.c -ldl -o .build/bench-gpu
endef

bench-gpu: ## Time the GPU kernels at real sizes on this machine's GPU, and compare the bits of all shapes (a minute).
	$(BENCH_GPU)
	.build/bench-gpu

gpu-bundle: setup ## Make .build/gpu-bundle, a folder for a machine with a GPU and neither Swift nor network (Tests/GPU).
	swift build -c release --static-swift-stdlib --product sprintpack
	$(BENCH_GPU)
	Tests/GPU/bundle.sh .build/release/sprintpack .build/bench-gpu .build/gpu-bundle

gpu-rehearsal: gpu-bundle ## Do what `make gpu` does, at small sizes, on the stand-in driver of the tests (OUT=FOLDER).
	swift build -c release --product StandInDriver
	.build/gpu-bundle/run.sh --rehearse .build/release/libStandInDriver.so --out $(or $(OUT),.build/gpu-rehearsal)

gpu: ## Check and time everything on this machine's GPU from .build/gpu-bundle, one table at the end (at most four minutes; OUT=FOLDER).
	@Tests/GPU/run.sh --bundle .build/gpu-bundle --out $(or $(OUT),.build/gpu)

$(ORACLE): Tests/Fixtures/oracle/requirements.txt
	python3 -m venv .build-oracle
	.build-oracle/bin/pip install -q -r $<
	touch $(ORACLE)

fixtures: $(ORACLE) ## Make the fixtures again with PyTorch (downloads about 1 GB the first time).
	PYTHON=$(CURDIR)/$(ORACLE) Tests/Fixtures/oracle/make_traces.sh
	PYTHON=$(CURDIR)/$(ORACLE) Tests/Fixtures/oracle/make_small.sh

unchanged: release setup-test ## Compare packed files, pictures and traces of the fixtures with the list of what they were.
	/usr/bin/python3 Tests/Fixtures/unchanged/unchanged.py $(BIN)

# Nothing of an SDK, and no freedom: sums and products are fused where the source says so, and nothing is called, approximated or kept outside registers.
GPU_KERNELS := Sources/CGPUKernels
PTX_FLAGS   := -x cuda --cuda-device-only -nocudainc -nocudalib --cuda-gpu-arch=sm_80 -Xclang -target-feature -Xclang +ptx70 -std=c++17 \
    -O3 -fno-unroll-loops -ffp-contract=off -Wall -Werror

kernels: ## Compile the GPU kernels to the PTX that is committed again (by clang-19; CI looks for a difference).
	$(call install_packages,clang-19)
	@mkdir -p .build; new=.build/kernels.ptx; \
	for source in $(GPU_KERNELS)/kernels/*.cu Tests/GPU/peak.cu; do \
	    clang-19 $(PTX_FLAGS) -I$(GPU_KERNELS)/kernels -S $$source -o $$new || exit 1; \
	    sed -i -E 's@[[:space:]]*//.*@@; /^[[:space:]]*$$/d' $$new; \
	    if grep -nE '\.local|\.approx|\.ftz|\bcall|\b(add|sub|mul|fma|mad)\.f(32|64)' $$new; then echo "$$source: not what every card computes alike"; exit 1; fi; \
	    case $$source in Tests/*) ptx=$${source%.cu}.ptx;; *) ptx=$(GPU_KERNELS)/ptx/$$(basename $$source .cu).ptx;; esac; \
	    mv $$new $$ptx || exit 1; \
	done

quality: release $(ORACLE) ## Measure what quantizing costs the embedded checkpoint, beside others (downloads as `fixtures` does, and the others).
	$(ORACLE) -m pip install --quiet -r Tests/Fixtures/oracle/quality-requirements.txt
	cd Tests/Fixtures/oracle && $(CURDIR)/$(ORACLE) measure_int8.py $(CURDIR)/$(BIN) && $(CURDIR)/$(ORACLE) measure_bf16.py \
		&& $(CURDIR)/$(ORACLE) measure_quality.py $(CURDIR)/$(BIN) && $(CURDIR)/$(ORACLE) measure_control.py $(CURDIR)/$(BIN)

install: release ## Install the program below PREFIX (/usr/local).
	install -D -m 755 $(BIN) $(DESTDIR)$(PREFIX)/bin/sprintpack

clean: ## Remove what the build made.
	rm -rf .build .build-oracle .build-peers demo.png demo-scribble.png demo.html
