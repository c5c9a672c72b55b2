#!/bin/bash
# peers.sh - the Python environment of the interop tests: made once, shared by all clones of this user.
#
# The folder is named after the hash of the pinned list, is built beside its final place and renamed when complete, so
# an environment that has its name is whole. Two callers at once: the second waits for the first.
# stdout: the path of the environment's python, nothing else. Everything else goes to stderr.
# exit: 0 there, 3 not available here (no python3 >= 3.11, no network, no disk), 2 wrong use.
# --quiet-if-absent: do not build, only say whether it is there (used by callers that must not download).
set -u
cd "$(dirname "$0")/.." || exit 2
list=tests/interop/requirements.txt
absent() { echo "peers: not available: $*" >&2; exit 3; }

build=1
case "${1:-}" in
'') ;;
--quiet-if-absent) build=0 ;;
*) echo "use: scripts/peers.sh [--quiet-if-absent]" >&2; exit 2 ;;
esac
[ -r "$list" ] || { echo "peers: no $list" >&2; exit 2; }
[ -n "${XDG_CACHE_HOME:-}" ] || [ -n "${HOME:-}" ] || absent "neither XDG_CACHE_HOME nor HOME is set"
cache=${XDG_CACHE_HOME:-$HOME/.cache}/qpipe
python=
for p in python3 python3.14 python3.13 python3.12 python3.11; do
    if command -v "$p" >/dev/null && "$p" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$p
        break
    fi
done
[ -n "$python" ] || absent "no python3 of version 3.11 or later with venv (Debian: python3-venv)"

# The Python version is part of the key: compiled wheels of one do not serve another.
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
key=$(grep -v '^#' "$list" | grep -v '^$' | sha256sum | cut -c1-12)
place=$cache/peers-$key-py$version
if [ -x "$place/bin/python" ]; then
    echo "$place/bin/python"
    exit 0
fi
[ "$build" = 1 ] || exit 3
if [ -n "${QPIPE_NO_PEERS:-}" ]; then absent "QPIPE_NO_PEERS is set"; fi

mkdir -p "$cache" || absent "can not write $cache"
exec 9>"$cache/peers.lock"
flock -n 9 || { echo "peers: another process builds the environment, waiting" >&2; flock 9; }
if [ -x "$place/bin/python" ]; then
    echo "$place/bin/python"
    exit 0
fi
free=$(df -Pk "$cache" | awk 'NR == 2 { print int($4 / 1048576) }')
[ "$free" -ge 8 ] || absent "$free GiB free in $cache, 8 needed while installing"
half=$place.half.$$
trap 'rm -rf "$half"' EXIT
trap 'exit 3' INT TERM HUP
echo "peers: installing $(grep -c == "$list") pinned packages from PyPI into $place (once, about 2.5 GB to fetch)" >&2
start=$SECONDS
"$python" -m venv "$half" >&2 || absent "venv failed"
"$half/bin/python" -m pip install --quiet --no-deps --no-cache-dir --disable-pip-version-check \
    --retries 1 --progress-bar off -r "$list" >&2 || absent "pip could not install the list (no PyPI?)"
"$half/bin/python" -c 'import torch, transformers, compressed_tensors, tokenizers, safetensors; torch.ones(2, 2) @ torch.ones(2, 2)' >&2 ||
    absent "the installed packages do not start"
# Compiled files carry absolute paths, scripts too; only bin/python is used afterwards, which finds its own place.
mv -T "$half" "$place" || absent "can not rename $half"
trap - EXIT
echo "peers: ready after $((SECONDS - start)) s, $(du -sm "$place" | cut -f1) MB" >&2
echo "$place/bin/python"
