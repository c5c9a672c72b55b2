# A thin door: CMake (presets in CMakePresets.json, Ninja) does the work, the scripts in scripts/ know what is missing.
#   make quickstart   a fresh machine to the table of results of the main job on the example model
#   make check        a fresh machine to "N passed, N failed, N skipped"
# `cmake --preset release && cmake --build --preset release` works without this file.
.POSIX:
.SUFFIXES:

help:
	@echo 'make quickstart  install what building needs, build, quantize the example model, print its table of results'
	@echo 'make check       install what testing needs, build, run every test; ends with the counts'
	@echo 'make deps        install what building needs (scripts/packages.txt; says what; nothing when all is there)'
	@echo 'make build       build/release/pipeline/qpipe, also as build/qpipe'
	@echo 'make bench       the measurements of bench/'
	@echo 'make fuzz        every fuzz target for FUZZ_SECONDS (60) by libFuzzer; needs clang'
	@echo 'make format      clang-format all sources in place'
	@echo 'make clean       remove build/'

deps:
	@sh scripts/deps.sh build

build: deps
	@sh scripts/build.sh release:qpipe

quickstart: build
	build/release/pipeline/qpipe run examples/quickstart.yaml --force

check:
	@bash scripts/check.sh

bench: build
	@sh scripts/bench.sh

fuzz:
	@sh scripts/deps.sh check
	@bash scripts/fuzz.sh

format:
	@sh tests/lint/format.sh --fix

clean:
	rm -rf build

.PHONY: help deps build quickstart check bench fuzz format clean
