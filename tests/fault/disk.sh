#!/bin/sh
# disk.sh - every file operation refused in turn, and a disk that is really full: status 4, the path is named, nothing is
# visible, and what was finished is taken by the next run, to the same bytes.
. tests/cli/common.sh
recipe "$work/r.yaml" "$work/result" 2
sed 's|^stages:|&|; /calibrate/d; s|GPTQModifier: .*|QuantizationModifier: { scheme: W8A16, targets: [Linear], ignore: [lm_head] }|' "$work/r.yaml" >"$work/free.yaml"

# fail RECIPE N - 0: the run succeeded
sweep() { # WHAT RECIPE STEP
    what=$1 n=1 bad=0 tried=0 again=0
    run 0 "$what: a run that nobody disturbs" "$qpipe" run "$2"
    rm -rf "$work/whole" && mv "$work/result" "$work/whole"
    while [ "$n" -lt 2000 ]; do
        QPIPE_FAIL_IO=$n "$qpipe" run "$2" >"$work/out" 2>"$work/err"
        status=$?
        [ "$status" -ne 0 ] || break
        tried=$((tried + 1))
        if [ "$status" -ne 4 ] || ! hidden "$work/result" || ! grep -q "No space left on device" "$work/err" ||
            ! grep -q "$work" "$work/err"; then
            bad=$((bad + 1))
            echo "    operation $n: status $status, left: $(ls -d "$work"/result* 2>/dev/null)"
            sed 's/^/    /' "$work/err"
            rm -rf "$work"/result*
        fi
        if [ $((tried % 9)) -eq 0 ]; then
            again=$((again + 1))
            if ! "$qpipe" run "$2" >"$work/out" 2>"$work/err" || ! diff -r "$work/result" "$work/whole"; then
                bad=$((bad + 1))
                echo "    after operation $n failed, the next run:"
                sed 's/^/    /' "$work/err"
            fi
            [ ! -e "$work/result.work" ] || bad=$((bad + 1))
        fi
        rm -rf "$work/result" "$work/result.work"
        n=$((n + $3))
    done
    ok "$what: the next run gives the same bytes, after $again of them" [ "$again" -ge 1 ]
    ok "$what: status 4, path and reason, nothing visible, at each of $tried operations" [ "$bad" -eq 0 ]
    ok "$what: there were operations to fail" [ "$tried" -ge 10 ]
    ok "$what: the first run that was not hit is complete" "$qpipe" verify "$work/result"
    rm -rf "$work/result"
}
sweep "without data" "$work/free.yaml" 1
mv "$work/whole" "$work/whole-free"
sweep "with calibration" "$work/r.yaml" 3

mkdir "$work/small"
if [ "$(id -u)" -eq 0 ] && mount -t tmpfs -o size=1m tmpfs "$work/small" 2>/dev/null; then
    on_exit() { umount "$work/small"; }
    run 4 "a disk of 1 MiB is full" "$qpipe" run "$work/free.yaml" --output "$work/small/result"
    ok "the path is named" says err "$work/small/result.work/"
    ok "the reason too" says err "No space left on device"
    ok "nothing is visible on it" hidden "$work/small/result"
    run 4 "and is full again for the next run" "$qpipe" run "$work/free.yaml" --output "$work/small/result"
    ok "nothing is visible, still" hidden "$work/small/result"
    on_exit() { umount "$work/small" "$work/larger"; }
    mkdir "$work/larger" && mount -t tmpfs -o size=8m tmpfs "$work/larger" && head -c 6500000 /dev/zero >"$work/larger/other"
    # each record at once, as in a run that takes hours
    run 4 "a disk that fills up" env QPIPE_KILL_AT_RECORD=1000000 "$qpipe" run "$work/free.yaml" --output "$work/larger/result"
    ok "says so" says err "No space left on device"
    ok "and that what was finished is kept" says err "keeps what was finished"
    ok "nothing is visible" hidden "$work/larger/result"
    rm "$work/larger/other"
    run 0 "after the disk was cleared the same command goes on" "$qpipe" run "$work/free.yaml" --output "$work/larger/result"
    ok "from where it was" says err "continues: "
    ok "to the same bytes" diff -r "$work/larger/result" "$work/whole-free"
    ok "nothing else is left" [ ! -e "$work/larger/result.work" ]
    # 32 MiB of activations between the blocks, and room for the output alone
    sed 's/samples: 2, sequence_length: 128/samples: 128, sequence_length: 512/' "$work/r.yaml" >"$work/long.yaml"
    run 0 "activations without a limit" "$qpipe" run "$work/long.yaml" --output "$work/long"
    rm -rf "$work/larger/result"
    run 0 "a disk that has no room for activations ends no run" env QPIPE_KILL_AT_RECORD=1000000 "$qpipe" run "$work/long.yaml" --output "$work/larger/result"
    ok "it is said" says err "activations are not kept any more"
    ok "the bytes are the same" diff -r "$work/larger/result" "$work/long"
else
    skip "a disk that is really full (no mount here)"
fi
run 4 "an output below a file" "$qpipe" run "$work/free.yaml" --output "$work/r.yaml/result"
ok "is named" says err "$work/r.yaml"
if [ "$(id -u)" -ne 0 ]; then
    mkdir "$work/locked" && chmod 555 "$work/locked"
    run 4 "a folder that can not be written" "$qpipe" run "$work/free.yaml" --output "$work/locked/result"
    ok "is named with the reason" says err "Permission denied"
    chmod 755 "$work/locked"
    cp -r "$tiny" "$work/m" && chmod 000 "$work/m/model.safetensors"
    run 4 "weights that can not be read" "$qpipe" run "$work/free.yaml" --model "$work/m"
    ok "are named with the reason" says err "model.safetensors: can not open: Permission denied"
elif have setpriv && setpriv --reuid=65534 --regid=65534 --clear-groups "$qpipe" version >/dev/null 2>&1; then
    user="setpriv --reuid=65534 --regid=65534 --clear-groups"
    mkdir "$work/locked"
    run 4 "a folder that can not be written" $user "$qpipe" run "$work/free.yaml" --output "$work/locked/result"
    ok "is named with the reason" says err "Permission denied"
    cp -r "$tiny" "$work/m" && chmod 000 "$work/m/model.safetensors"
    mkdir "$work/open" && chmod 777 "$work/open"
    run 4 "weights that can not be read" $user "$qpipe" run "$work/free.yaml" --model "$work/m" --output "$work/open/result"
    ok "are named with the reason" says err "model.safetensors: can not open: Permission denied"
else
    skip "files that can not be read or written (root reads and writes all)"
fi
finish
