#!/bin/sh
# disk.sh - every file operation refused in turn, and a disk that is really full: status 4, the path is named, nothing is
# visible and nothing is left.
. tests/cli/common.sh
recipe "$work/r.yaml" "$work/result" 2
sed 's|^stages:|&|; /calibrate/d; s|GPTQModifier: .*|QuantizationModifier: { scheme: W8A16, targets: [Linear], ignore: [lm_head] }|' "$work/r.yaml" >"$work/free.yaml"

# fail RECIPE N - 0: the run succeeded
sweep() { # WHAT RECIPE STEP
    what=$1 n=1 bad=0 tried=0
    while [ "$n" -lt 2000 ]; do
        QPIPE_FAIL_IO=$n "$qpipe" run "$2" >"$work/out" 2>"$work/err"
        status=$?
        [ "$status" -ne 0 ] || break
        tried=$((tried + 1))
        if [ "$status" -ne 4 ] || ! nothing "$work/result" || ! grep -q "No space left on device" "$work/err" ||
            ! grep -q "$work" "$work/err"; then
            bad=$((bad + 1))
            echo "    operation $n: status $status, left: $(ls -d "$work"/result* 2>/dev/null)"
            sed 's/^/    /' "$work/err"
            rm -rf "$work"/result*
        fi
        n=$((n + $3))
    done
    ok "$what: status 4, path and reason, nothing left, at each of $tried operations" [ "$bad" -eq 0 ]
    ok "$what: there were operations to fail" [ "$tried" -ge 10 ]
    ok "$what: the first run that was not hit is complete" "$qpipe" verify "$work/result"
    rm -rf "$work/result"
}
sweep "without data" "$work/free.yaml" 1
sweep "with calibration" "$work/r.yaml" 3

mkdir "$work/small"
if [ "$(id -u)" -eq 0 ] && mount -t tmpfs -o size=1m tmpfs "$work/small" 2>/dev/null; then
    on_exit() { umount "$work/small"; }
    run 4 "a disk of 1 MiB is full" "$qpipe" run "$work/free.yaml" --output "$work/small/result"
    ok "the path is named" says err "$work/small/result.partial-"
    ok "the reason too" says err "No space left on device"
    ok "nothing is left on it" sh -c "[ -z \"\$(ls -A '$work/small')\" ]"
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
