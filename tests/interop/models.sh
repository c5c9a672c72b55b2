#!/bin/bash
# models.sh QPIPE - eleven random models of nine families, saved by transformers, through eval and the main job with many
# schemes: what qpipe sees in the saved folder is what transformers sees in it.
. "$(dirname "$0")/common.sh"
step "models and schemes" peer models "$qpipe" "$work"
finish
