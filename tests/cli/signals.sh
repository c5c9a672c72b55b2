#!/bin/sh
# signals.sh - SIGINT, SIGTERM and a scheduler's warnings end a run with 75; nothing stands under the name, and what was
# finished is taken by the next run.
. tests/cli/common.sh
for sig in INT TERM USR1 USR2; do
    for after in 0.3 0.8 1.6; do
        recipe "$work/r.yaml" "$work/result" 160
        rm -rf "$work/result.work"
        # a shell starts background jobs with SIGINT ignored; python puts it back
        have python3 || { skip "signals (no python3)"; break 2; }
        python3 - "$qpipe" "$work" "$sig" "$after" <<'EOF'
import signal, subprocess, sys, time
qpipe, work, sig, after = sys.argv[1:]
signal.signal(signal.SIGINT, signal.default_int_handler)
p = subprocess.Popen([qpipe, "run", work + "/r.yaml"], stdout=open(work + "/out", "w"), stderr=open(work + "/err", "w"))
time.sleep(float(after))
p.send_signal(getattr(signal, "SIG" + sig))
open(work + "/status", "w").write(str(p.wait()))
EOF
        status=$(cat "$work/status")
        if [ "$status" = 0 ]; then
            skip "SIG$sig after $after s (the run was done)"
            rm -rf "$work/result" "$work/result.work"
            continue
        fi
        ok "SIG$sig after $after s ends with 75" [ "$status" = 75 ]
        ok "and says that nothing was published" says err "interrupted"
        ok "and shows nothing" hidden "$work/result"
        ok "what was finished is kept, or nothing is there" sh -c "[ ! -e '$work/result.work' ] || grep -q 'keeps what was finished' '$work/err'"
    done
done
run 0 "a later run works" "$qpipe" run "$work/r.yaml"
ok "and nothing is left beside it" [ ! -e "$work/result.work" ]
finish
