#!/bin/sh
# deps.sh build|check|all - the Debian packages of scripts/packages.txt: says what is missing and installs it.
#
# Nothing is done when all are there, and then no root is needed. Otherwise apt-get runs once, as root or by sudo; the
# package lists are fetched only when they do not know a missing package. Not on Debian or Ubuntu: says what would be
# needed and goes on, so that the build can look for itself (CMake names what it does not find).
# exit: 0 all there (now), 1 could not install, 2 wrong use.
set -u
cd "$(dirname "$0")/.." || exit 2
export LC_ALL=C DEBIAN_FRONTEND=noninteractive
case "${1:-}" in
build) want=' build ' ;;
check) want=' build check ' ;;
all) want=' build check optional ' ;;
*) echo "use: scripts/deps.sh build|check|all" >&2; exit 2 ;;
esac
packages=$(awk -v want="$want" '!/^#/ && NF { if (index(want, " " $2 " ")) print $1 }' scripts/packages.txt)
count=$(echo "$packages" | wc -l)

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    echo "deps: no dpkg and apt-get here; $1 needs what Debian calls:" $packages
    exit 0
fi

# A package counts as there when it is installed, or when an installed one provides it (pkgconf for pkg-config).
missing_of() {
    there=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' 2>/dev/null | sed -n 's/^installed //p')
    there="$there
$(dpkg-query -W -f '${db:Status-Status}, ${Provides}\n' 2>/dev/null | sed -n 's/^installed, //p' | tr ',' '\n' | sed 's/^ *//; s/ .*//')"
    for p in $packages; do
        echo "$there" | grep -qxF -- "$p" || echo "$p"
    done
}
missing=$(missing_of)
if [ -z "$missing" ]; then
    echo "deps: all $count packages are there"
    exit 0
fi
missing=$(echo $missing)
line="apt-get install -y --no-install-recommends $missing"

root=
if [ "$(id -u)" != 0 ]; then
    # sudo that would ask for a password can only do so on a terminal.
    if command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
        root=sudo
    else
        echo "deps: missing: $missing" >&2
        echo "deps: not root and no sudo; run this as root, then again what you ran:" >&2
        echo "  $line" >&2
        exit 1
    fi
fi
for p in $missing; do
    if ! apt-cache show "$p" >/dev/null 2>&1; then
        echo "deps: apt-get update (no list here knows $p)"
        $root env DEBIAN_FRONTEND="$DEBIAN_FRONTEND" apt-get update -q || echo "deps: apt-get update failed, trying without" >&2
        break
    fi
done
echo "deps: installing: $missing"
install() { $root env DEBIAN_FRONTEND="$DEBIAN_FRONTEND" LC_ALL=C $line -q -o Dpkg::Use-Pty=0; }
if ! install; then
    echo "deps: the package lists may be old: apt-get update, then once more" >&2
    if ! $root env DEBIAN_FRONTEND="$DEBIAN_FRONTEND" apt-get update -q || ! install; then
        echo "deps: could not install; the line was:" >&2
        echo "  $line" >&2
        exit 1
    fi
fi
left=$(missing_of)
if [ -n "$left" ]; then
    echo "deps: still missing after apt-get:" $left >&2
    exit 1
fi
echo "deps: all $count packages are there"
