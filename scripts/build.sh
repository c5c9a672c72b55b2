#!/bin/sh
# build.sh PRESET[:TARGET]... - configures a preset (CMake does nothing twice) and builds it, or one target of it. What
# configuring says is shown only when it fails.
set -eu
cd "$(dirname "$0")/.."
for word in "$@"; do
    preset=${word%%:*} target=
    case $word in *:*) target="--target ${word#*:}" ;; esac
    log=build/$preset.configure.log
    mkdir -p build
    if ! cmake --preset "$preset" >"$log" 2>&1; then
        cat "$log" >&2
        echo "build: preset $preset could not be configured" >&2
        exit 1
    fi
    echo "build: $preset"
    cmake --build --preset "$preset" $target
    if [ "$preset" = release ] && [ -x build/release/pipeline/qpipe ]; then
        ln -sf release/pipeline/qpipe build/qpipe
    fi
done
