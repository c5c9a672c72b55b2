#!/bin/bash
# gptq.sh QPIPE - codes, scales and errors of GPTQ against a second GPTQ, written from the paper, on the inputs that each
# way of walking promises.
. "$(dirname "$0")/../interop/common.sh"
step "codes and scales" "$python" -B tests/oracle/gptq_check.py "$qpipe" "$work"
finish
