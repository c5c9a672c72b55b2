#!/bin/sh
# archives.sh - `save: { archive: FILE }` gives equal bytes for equal outputs, appears complete or not at all, and is a model that every
# command takes; archives that would write elsewhere, or that are none, are refused and leave nothing behind.
. tests/cli/common.sh
have python3 && have tar || { skip "everything (no python3 or tar)" && finish; }
temporary=$work/tmp
mkdir "$temporary"
TMPDIR=$temporary
export TMPDIR
unset SOURCE_DATE_EPOCH
tidy() { ok "nothing temporary is left" [ -z "$(ls -A "$temporary")" ]; }
cat >"$work/r.yaml" <<END
version: 1
model: $tiny
vars: { archive: none.tar }
stages:
  - QuantizationModifier: { scheme: W4A16, targets: [Linear], ignore: [lm_head] }
  - save:
      archive: \${archive}
  - verify: { max_weight_error: 0.9 }
END
make() { # ARCHIVE OUTPUT...
    a=$1
    o=$2
    shift 2
    "$qpipe" run "$work/r.yaml" --set archive="$a" --output "$o" "$@"
}
for tail in tar tar.gz tar.xz tar.zst; do
    run 0 "$tail: a run" make "one.$tail" "$work/one"
    run 0 "$tail: the same elsewhere, later, in another zone" env TZ=Asia/Tokyo "$qpipe" run "$work/r.yaml" --set archive="deep/other.$tail" --output "$work/two" --threads 3
    ok "$tail: the same bytes" cmp "$work/one.$tail" "$work/deep/other.$tail"
    ok "$tail: no temporary one is left" [ -z "$(find "$work" -name '*.partial*')" ]
    run 0 "$tail: equal to its folder" "$qpipe" diff "$work/one" "$work/one.$tail"
    mkdir "$work/x"
    case $tail in
    tar.zst) have zstd || { skip "unpacking by tar (no zstd)" && rm -rf "$work/x" "$work/one" "$work/two" && continue; } ;;
    tar.xz) have xz || { skip "unpacking by tar (no xz)" && rm -rf "$work/x" "$work/one" "$work/two" && continue; } ;;
    esac
    run 0 "$tail: tar unpacks it" tar -xf "$work/one.$tail" -C "$work/x"
    ok "$tail: into the same folder" diff -r "$work/one" "$work/x"
    rm -rf "$work/x" "$work/one" "$work/two"
done
cat >"$work/look.py" <<'END'
import sys, tarfile
t = tarfile.open(sys.argv[1])
m = t.getmembers()
names = [x.name for x in m]
assert names == sorted(names, key=lambda s: s.encode()) and "manifest.json" in names, names
for x in m:
    assert x.isreg() and (x.mtime, x.uid, x.gid, x.uname, x.gname, x.mode) == (int(sys.argv[2]), 0, 0, "", "", 0o644), vars(x)
END
ok "entries are sorted, without owner, mode 0644, at time 0" python3 "$work/look.py" "$work/one.tar" 0
run 0 "a run with SOURCE_DATE_EPOCH" env SOURCE_DATE_EPOCH=1700000000 "$qpipe" run "$work/r.yaml" --set archive=dated.tar --output "$work/dated"
ok "its entries have that time" python3 "$work/look.py" "$work/dated.tar" 1700000000
run 2 "a SOURCE_DATE_EPOCH that is no number" env SOURCE_DATE_EPOCH=yesterday "$qpipe" run "$work/r.yaml" --set archive=x.tar --output "$work/x"
ok "is named" says err "SOURCE_DATE_EPOCH: found 'yesterday'"
ok "before anything is made" nothing "$work/x"

# -- complete or not at all --
run 2 "an archive that exists" make dated.tar "$work/x"
ok "is named" says err "archive '$work/dated.tar' exists already"
ok "before anything is made" nothing "$work/x"
cp "$work/one.tar" "$work/force.tar"
run 0 "--force replaces it" env SOURCE_DATE_EPOCH=1700000000 "$qpipe" run "$work/r.yaml" --set archive=force.tar --output "$work/x" --force
ok "by the new one" cmp "$work/force.tar" "$work/dated.tar"
rm -rf "$work/x"
run 2 "another ending" make x.zip "$work/x"
ok "is refused with its place" says err "r.yaml:6:5: archive: found '$work/x.zip', expected a name that ends with .tar"
sed 's/max_weight_error: 0.9/max_weight_error: 0.001/' "$work/r.yaml" >"$work/strict.yaml"
run 1 "a threshold that is missed" "$qpipe" run "$work/strict.yaml" --set archive=strict.tar --output "$work/strict"
ok "gives no archive" [ -z "$(find "$work" -name 'strict.tar*')" ]
ok "the manifest does not know of the archive" sh -c "grep -q 'shard_size' '$work/dated/recipe.resolved.yaml' && ! grep -q archive '$work/dated/manifest.json' '$work/dated/recipe.resolved.yaml'"
# every file operation fails once: never an archive without its folder, never a temporary file
n=1
while [ $n -lt 400 ]; do
    rm -rf "$work/f" "$work/f.tar" "$work/f.work"
    QPIPE_FAIL_IO=$n "$qpipe" run "$work/r.yaml" --set archive=f.tar --output "$work/f" >"$work/out" 2>"$work/err" && break
    [ ! -e "$work/f.tar" ] || [ -e "$work/f/manifest.json" ] || break
    [ -z "$(find "$work" -maxdepth 1 -name 'f.tar.partial*')" ] || break
    n=$((n + 7))
done
ok "with file operation 1, 8, 15, ... failing there is no archive without its output, and nothing partial" [ -e "$work/f.tar" ]

# -- as a model --
mkdir "$work/up"
tar -cf "$work/flat.tar" -C "$tiny" $(cd "$tiny" && ls)
tar -czf "$work/top.tgz" -C "$root/examples" tiny
printf 'version: 1\nseed: 4\nstages:\n  - calibrate: { samples: 3, sequence_length: 100, dataset: %s/calib.jsonl }\n  - GPTQModifier: { scheme: W4A16, ignore: [lm_head] }\n' "$tiny" >"$work/m.yaml"
run 0 "a run from the folder" "$qpipe" run "$work/m.yaml" --model "$tiny" --output "$work/m"
for a in flat.tar top.tgz; do
    run 0 "$a: a run from the archive" "$qpipe" run "$work/m.yaml" --model "$work/$a" --output "$work/n"
    ok "$a: gives the same folder" diff -r "$work/m" "$work/n"
    run 0 "$a: verify with it as source" "$qpipe" verify "$work/n" --model "$work/$a"
    run 0 "$a: rebuild with it as source" "$qpipe" rebuild "$work/n" --model "$work/$a" --dataset "$tiny/calib.jsonl" --sample 1
    rm -rf "$work/n"
done
tidy
run 0 "an output's archive can be verified" "$qpipe" verify "$work/one.tar" --model "$tiny"
run 0 "inspected" "$qpipe" inspect "$work/one.tar.gz"
run 0 "evaluated" "$qpipe" eval "$work/one.tar" --text "$tiny/heldout.txt" --samples 2 --sequence-length 64
run 0 "rebuilt" "$qpipe" rebuild "$work/one.tar" --model "$tiny"
tidy

# -- what is not taken --
cat >"$work/bad.py" <<'END'
import io, sys, tarfile
kind, path = sys.argv[1:]
t = tarfile.open(path, "w")
def put(name, data=b"x", **more):
    i = tarfile.TarInfo(name)
    i.size = len(data)
    for k, v in more.items():
        setattr(i, k, v)
    t.addfile(i, io.BytesIO(data))
put("config.json", b"{}")
if kind == "up": put("../evil")
if kind == "inside": put("a/../../evil")
if kind == "absolute": put("/tmp/qpipe-evil")
if kind == "link": put("model.safetensors", b"", type=tarfile.SYMTYPE, linkname="/etc/passwd")
if kind == "hard": put("model.safetensors", b"", type=tarfile.LNKTYPE, linkname="config.json")
if kind == "device": put("null", b"", type=tarfile.CHRTYPE, devmajor=1, devminor=3)
if kind == "twice": put("config.json", b"{}")
if kind == "deep": put("a/" * 40 + "b")
if kind == "empty": pass
t.close()
END
for row in "up:has '..' in its name" "inside:has '..' in its name" "absolute:has an absolute name" "link:is a symbolic link" "hard:is a hard link" \
    "device:is a device" "twice:is there twice"; do
    kind=${row%%:*}
    python3 "$work/bad.py" "$kind" "$work/bad.tar"
    run 2 "an archive with $kind" "$qpipe" inspect "$work/bad.tar"
    ok "is refused: ${row#*:}" says err "${row#*:}"
done
python3 "$work/bad.py" deep "$work/bad.tar"
run 3 "an archive with folders 40 deep" "$qpipe" inspect "$work/bad.tar"
ok "nothing was written elsewhere" [ -z "$(find "$work" "$temporary" -name '*evil*')" ]
python3 -c 'import gzip, io, sys, tarfile
t = tarfile.open(sys.argv[1], "w:gz")
i = tarfile.TarInfo("model.safetensors")
i.size = 1 << 26
t.addfile(i, io.BytesIO(bytes(i.size)))' "$work/bomb.tgz"
run 3 "an archive that swells a thousand times" "$qpipe" inspect "$work/bomb.tgz"
ok "is named" says err "more than 500 times as many"
head -c 100000 "$work/one.tar.gz" >"$work/cut.tar.gz"
run 2 "an archive that was cut" "$qpipe" inspect "$work/cut.tar.gz"
run 2 "a file that is no archive" "$qpipe" inspect "$tiny/config.json"
ok "is named" says err "no tar or zip archive"
tidy
finish
