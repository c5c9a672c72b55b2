#!/bin/bash
# planted.sh - the checks find what they are for: each row plants one violation into a small tree that is otherwise in
# order, and expects the check to fail with a line that names it; without the plant the check must pass.
set -u
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
wrong=0 rows=0

tree() { # a small tree in which every check passes
    rm -rf "$work/t"
    mkdir -p "$work/t/base" "$work/t/quant" "$work/t/tests/lint"
    cd "$work/t" || exit 2
    cp "$here/../../.clang-format" . 2>/dev/null
    printf 'base:\nquant: base\n<mpi.h>: base\n' >layers.txt
    printf '#ifndef A_H\n#define A_H\nint a_next(int x);\n#endif\n' >base/a.h
    printf '#include "base/a.h"\n\nint a_next(int x) { return x + 1; }\n' >base/a.c
    printf '#include "base/a.h"\n\n/* strcpy( is only named here */\nint q(void);\nint q(void) { return a_next(1); }\n' >quant/q.c
    for d in . base quant tests/lint; do echo "This folder holds what a small tree needs so that every single check of this project passes." >$d/README.md; done
    printf '# none\n' >tests/lint/long.txt
}
passes() { # passes CHECK
    tree
    rows=$((rows + 1))
    bash "$here/$1.sh" "$work/t" >"$work/out" 2>&1
    local rc=$?
    [ $rc -eq 77 ] && { echo "skipped: planted $1 (the check can not run here)"; return; }
    [ $rc -eq 0 ] || { echo "wrong: $1 fails on a clean tree:"; cat "$work/out"; wrong=1; }
}
finds() { # finds CHECK EXPECTED-TEXT COMMAND
    tree
    rows=$((rows + 1))
    eval "$3"
    bash "$here/$1.sh" "$work/t" >"$work/out" 2>&1
    local rc=$?
    [ $rc -eq 77 ] && return
    if [ $rc -ne 1 ] || ! grep -qF -- "$2" "$work/out"; then
        echo "wrong: $1 (exit $rc) does not say \"$2\" after: $3"
        cat "$work/out"
        wrong=1
    fi
}
long_function() { printf 'int f(void);\nint f(void)\n{\n'; for _ in $(seq "$1"); do echo '    ;'; done; printf '    return 0;\n}\n'; }

for check in layers sizes banned format readmes words files scripts; do passes $check; done
finds layers 'base/a.c:1: include of "quant/q.h", but base may not include quant' "sed -i '1i #include \"quant/q.h\"' base/a.c; : >quant/q.h"
finds layers 'quant/q.c:1: include of <mpi.h>' "sed -i '1i #include <mpi.h>' quant/q.c"
finds layers 'quant/q.c:1: include of <openmpi/mpi.h>' "sed -i '1i #  include <openmpi/mpi.h>' quant/q.c"
finds layers 'without its room' "sed -i '1i #include \"a.h\"' base/a.c"
finds layers 'which is not there' "sed -i '1i #include \"base/gone.h\"' base/a.c"
finds layers 'no room of layers.txt' "mkdir other; : >other/o.c"
finds layers 'base/b.h:1: does not compile alone' "echo 'size_t n(void);' >base/b.h"
finds sizes 'quant/long.c:2: function f has 104 lines' "long_function 100 >quant/long.c"
finds sizes 'base/big.c:1: 801 lines' "yes '/* */' | head -n 801 >base/big.c"
finds sizes 'base/big.h:1: 301 lines' "yes '/* */' | head -n 301 >base/big.h"
finds sizes 'base/gone.c is not there' "echo 'base/gone.c no reason' >>tests/lint/long.txt"
finds banned 'quant/q.c:6: strcpy is banned here' "echo 'void s(char *a) { strcpy (a, \"b\"); }' >>quant/q.c"
finds banned 'quant/q.c:6: malloc is banned here' "echo 'void *s(void) { return malloc(1); }' >>quant/q.c"
finds banned 'strtod is banned here' "echo 'double s(void) { return strtod(\"1\", 0); }' >>base/a.c"
finds banned 'typedef struct is banned here' "echo 'typedef struct x { int y; } x;' >>base/a.h"
finds banned 'quant/q.c:6: sprintf is banned here' "echo 'int s(char *a) { return \"/*\"[0] + sprintf(a, \"x\"); }' >>quant/q.c"
finds format 'base/a.c:3:' "sed -i 's/x + 1/x+1/' base/a.c"
finds readmes 'quant/: sources but no README.md' "rm quant/README.md"
finds readmes 'base/README.md: says nothing' "echo '# base' >base/README.md"
finds words 'base/a.c:4: an absolute path' "echo '/* see /hom''e/somebody/x */' >>base/a.c"
finds words 'README.md:2: the host of a package registry' "echo 'from https://pyp''i.org/simple' >>README.md"
finds files 'base/blob: 5000001 bytes' "head -c 5000001 /dev/zero >base/blob"
finds files 'all files:' "for i in 1 2 3 4 5 6 7 8 9; do head -c 4900000 /dev/zero >base/blob\$i; done"
finds files 'a link' "ln -s a.c base/b.c"
finds scripts 'base/x.sh: bash can not parse it' "echo 'if true; then' >base/x.sh"

# An exception by name is honoured.
tree
long_function 120 >quant/long.c
echo 'quant/long.c:f a table of steps that is read top to bottom' >>tests/lint/long.txt
rows=$((rows + 1))
bash "$here/sizes.sh" "$work/t" >"$work/out" 2>&1 || { echo "wrong: an exception of long.txt is not honoured"; cat "$work/out"; wrong=1; }

echo "planted: $rows rows"
exit $wrong
