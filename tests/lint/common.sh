# common.sh - sourced by the checks of this folder. Every check is called as CHECK.sh [ROOT]; ROOT is the tree to look
# at (default: this checkout). found FILE:LINE: WHAT reports one violation; finish says the sum and exits.
set -u
export LC_ALL=C
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=${1:-$here/../..}
cd "$root" || exit 2
violations=0
found() { echo "$*"; violations=$((violations + 1)); }

# all_files - what is tracked, or new and not ignored; without git (a tarball, another owner): everything outside build/.
all_files() {
    if [ -e .git ] && git ls-files >/dev/null 2>&1; then
        git ls-files --cached --others --exclude-standard | sort -u | while IFS= read -r f; do
            if [ -f "$f" ]; then printf '%s\n' "$f"; fi
        done
    else
        find . -path ./build -prune -o -path ./.git -prune -o -path ./.cache -prune -o -name __pycache__ -prune -o \
            \( -type f -o -type l \) -print | sed 's#^\./##' | sort
    fi
}
sources() { all_files | grep -E '\.[ch]$'; }
rooms() { sed -n 's/^\([a-z]*\):.*/\1/p' layers.txt; }

finish() {
    if [ "$violations" -gt 0 ]; then
        echo "$violations violations"
        exit 1
    fi
    echo "$*"
    exit 0
}

# code_only FILE... - "FILE:LINE:CODE" with comments and the contents of strings and characters blanked.
code_only() {
    awk '
    FNR == 1 { comment = 0 }
    {
        out = ""; line = $0; n = length(line); quote = ""
        for (i = 1; i <= n; i++) {
            c = substr(line, i, 1); two = substr(line, i, 2)
            if (comment) { if (two == "*/") { comment = 0; i++ } continue }
            if (quote != "") {
                if (c == "\\") i++
                else if (c == quote) { quote = ""; out = out c }
                continue
            }
            if (two == "/*") { comment = 1; i++; out = out " "; continue }
            if (two == "//") break
            if (c == "\"" || c == "\047") quote = c
            out = out c
        }
        print FILENAME ":" FNR ":" out
    }' "$@"
}
