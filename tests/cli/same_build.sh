#!/bin/sh
# same_build.sh - the build itself is reproducible: two copies of the tree in folders of other names, built at other times, give the
# same program byte for byte; and the program says which commit it is of, or that it does not know.
. tests/cli/common.sh
have git && git rev-parse HEAD >/dev/null 2>&1 || { skip "everything (no git checkout: the list of files is git's)" && finish; }
have cmake && have ninja || { skip "everything (no cmake or ninja)" && finish; }
commit=$(git rev-parse HEAD)
unset SOURCE_DATE_EPOCH CCACHE_BASEDIR

tree() { # FOLDER - the working tree without git
    mkdir -p "$1"
    git ls-files --cached --others --exclude-standard | while IFS= read -r f; do [ ! -e "$f" ] || echo "$f"; done >"$work/list"
    tar -cf - -T "$work/list" | tar -xf - -C "$1"
}
build() { # FOLDER
    (cd "$1" && cmake --preset release -DQPIPE_TESTS=OFF && nice ninja -C build/release qpipe) >"$work/build.log" 2>&1 || {
        tail -n 20 "$work/build.log"
        return 1
    }
}
tree "$work/a"
mkdir -p "$work/another/deeper place"
cp -r "$work/a" "$work/copy" # before anything is built, and before anybody edits
ok "a copy builds" build "$work/a"
git archive --format=tar --prefix="tree/" HEAD | tar -xf - -C "$work/another/deeper place"
second="$work/another/deeper place/tree"
ok "git archive writes the commit into the tree" grep -qx "$commit" "$second/cmake/commit.txt"
rm -rf "$second"
mv "$work/copy" "$second"
export LC_ALL=C TZ=Asia/Tokyo
umask 027
ok "so does one in a folder with a longer name and a blank, in another zone, locale and umask" build "$second"
ok "both programs are the same bytes" cmp "$work/a/build/release/pipeline/qpipe" "$second/build/release/pipeline/qpipe"
for lib in $(cd "$work/a/build/release" && find . -name '*.so'); do
    ok "$lib: the same bytes" cmp "$work/a/build/release/$lib" "$second/build/release/$lib"
done
ok "neither holds a path of where it was built" sh -c "! grep -aq '$work' '$work/a/build/release/pipeline/qpipe'"
run 0 "without git" "$work/a/build/release/pipeline/qpipe" --version
ok "the commit is unknown" says out "(commit unknown)"
echo "$commit" >"$work/a/cmake/commit.txt"
ok "a tree of git archive builds" build "$work/a"
run 0 "and its program" "$work/a/build/release/pipeline/qpipe" --version
ok "names the commit" says out "(commit $commit)"
run 0 "the program under test" "$qpipe" --version
ok "names a commit" grep -Eq "commit [0-9a-f]{40}" "$work/out"
finish
