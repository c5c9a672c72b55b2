#!/bin/bash
# peer.sh - the Python environment of llm-compressor, which bench/run --peer measures: made once, kept in the user's cache
# under the hash of its list. stdout: the path of its python. exit: 0 there, 3 not available here.
set -u
cd "$(dirname "$0")" || exit 2
absent() { echo "peer: not available: $*" >&2; exit 3; }
cache=${XDG_CACHE_HOME:-${HOME:?}/.cache}/qpipe
place=$cache/bench-$(sha256sum requirements.txt | cut -c1-12)
if [ ! -x "$place/bin/python" ]; then
    mkdir -p "$cache" || absent "can not write $cache"
    half=$place.half.$$
    trap 'rm -rf "$half"' EXIT
    echo "peer: installing into $place (once, about 2.5 GB to fetch)" >&2
    python3 -m venv "$half" >&2 || absent "no venv"
    "$half/bin/python" -m pip install --quiet --no-cache-dir --disable-pip-version-check -r requirements.txt >&2 || absent "pip failed"
    mv -T "$half" "$place" || absent "can not rename $half"
    trap - EXIT
fi
echo "$place/bin/python"
