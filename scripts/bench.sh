#!/bin/sh
# bench.sh - the measurements of bench/run, against build/release. Arguments go on to it: --quick, --peer, --save.
set -u
cd "$(dirname "$0")/.." || exit 2
command -v python3 >/dev/null || { echo "bench: no python3" >&2; exit 3; }
exec python3 bench/run "$@"
