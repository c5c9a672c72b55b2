#!/bin/bash
# hostile.sh QPIPE - damaged checkpoints, odd calibration sets, outputs in the wrong place: exit statuses, messages, and
# nothing left behind.
. "$(dirname "$0")/../interop/common.sh"
step "rows" "$python" -B tests/oracle/hostile_check.py "$qpipe" "$work"
finish
