#!/bin/bash
# layers.sh - who includes whom (layers.txt is the law), where external headers may appear, and that every header
# compiles alone.
. "$(dirname "$0")/common.sh"

while IFS= read -r line; do
    found "$line"
done < <(
    for room in $(rooms); do
        # shellcheck disable=SC2046
        files=$(sources | grep "^$room/")
        [ -n "$files" ] && grep -nE '^[[:space:]]*#[[:space:]]*include' $files /dev/null
    done | awk '
        BEGIN {
            while ((getline l < "layers.txt") > 0) {
                sub(/#.*/, "", l)
                if (l !~ /:/) continue
                who = l; sub(/:.*/, "", who); gsub(/[ \t]/, "", who)
                list = l; sub(/^[^:]*:/, "", list)
                n = split(list, w, /[ \t]+/)
                if (who ~ /^</) fenced[substr(who, 2, length(who) - 2)] = " " list " "
                else { room[who] = 1; for (i = 1; i <= n; i++) if (w[i] != "") may[who, w[i]] = 1 }
            }
        }
        {
            split($0, part, ":"); file = part[1]; at = part[1] ":" part[2]
            me = file; sub(/\/.*/, "", me)
            if (match($0, /"[^"]+"/)) {
                header = substr($0, RSTART + 1, RLENGTH - 2)
                other = header; sub(/\/.*/, "", other)
                if (header !~ /\//) print at ": include of \"" header "\" without its room; write \"" me "/...\""
                else if (!(other in room)) print at ": include of \"" header "\", but " other " is no room of layers.txt"
                else if (other != me && !((me, other) in may)) print at ": include of \"" header "\", but " me " may not include " other " (layers.txt)"
                else if (system("test -f " header)) print at ": include of \"" header "\", which is not there"
            } else if (match($0, /<[^>]+>/)) {
                header = substr($0, RSTART + 1, RLENGTH - 2)
                for (f in fenced)
                    if ((header == f || header ~ ("/" f "$")) && index(fenced[f], " " me " ") == 0)
                        print at ": include of <" header ">, allowed in:" fenced[f] "(layers.txt)"
            }
        }'
)

# A room that is in the tree but not in layers.txt would escape the check.
for dir in $(sources | sed -n 's#^\([^/]*\)/.*#\1#p' | sort -u); do
    case $dir in tests | bench | examples) continue ;; esac
    rooms | grep -qx "$dir" || found "$dir/: a folder with C sources that is no room of layers.txt"
done

# Each header alone, in one compiler process per header; mpi.h and friends may need their own include path.
headers=0
scratch=$(mktemp -d) || exit 2
trap 'rm -rf "$scratch"' EXIT
for h in $(sources | grep '\.h$' | grep -E "^($(rooms | paste -sd '|'))/"); do
    # NAME_tmpl.h is compiled through the files that include it, once for each variant.
    case $h in *_tmpl.h) continue ;; esac
    headers=$((headers + 1))
    flags=
    case $h in *avx512*) flags="-mavx512f -mavx512bw -mavx512vl -mavx512dq -mfma -mavx2 -mf16c" ;; *avx2*) flags="-mavx2 -mfma -mf16c" ;; esac
    if ! "${CC:-cc}" -std=c11 -D_GNU_SOURCE -I. $flags -fsyntax-only -x c -Wall -Wno-unused "$h" 2>"$scratch/err"; then
        found "$h:1: does not compile alone: $(grep -m 1 error "$scratch/err")"
    fi
done
finish "layers: $(sources | grep -cE "^($(rooms | paste -sd '|'))/") files of $(rooms | wc -l) rooms keep to layers.txt, $headers headers compile alone"
