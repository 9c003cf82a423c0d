#!/usr/bin/env bash
# Train under Slurm: tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [OPTIONS of tools/train.py]. GPUS and others:
# see tools/slurm.sh.
set -euo pipefail
work_dir=${4:?usage: tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [OPTIONS]}
exec "$(dirname "$0")/slurm.sh" train "$1" "$2" "$3" --work-dir "$work_dir" "${@:5}"
