#!/usr/bin/env bash
# Test under Slurm: tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [OPTIONS of tools/test.py]. CHECKPOINT is '' for
# a model without one. GPUS and others: see tools/slurm.sh.
set -euo pipefail
checkpoint=${4?usage: tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [OPTIONS]}
exec "$(dirname "$0")/slurm.sh" test "$1" "$2" "$3" ${checkpoint:+"$checkpoint"} "${@:5}"
