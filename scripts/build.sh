#!/bin/sh
# build.sh PRESET... - configures a preset when it is new or its files changed, and builds it. Says one line each.
set -eu
cd "$(dirname "$0")/.."
for preset in "$@"; do
    log=build/$preset.configure.log
    mkdir -p build
    if ! cmake --preset "$preset" >"$log" 2>&1; then
        cat "$log" >&2
        echo "build: preset $preset could not be configured" >&2
        exit 1
    fi
    echo "build: $preset"
    cmake --build --preset "$preset"
    if [ "$preset" = release ] && [ -x build/release/pipeline/qpipe ]; then
        ln -sf release/pipeline/qpipe build/qpipe
    fi
done
