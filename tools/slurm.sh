#!/usr/bin/env bash
# Run a tool as a step of Slurm, one process a GPU: tools/slurm.sh TOOL PARTITION JOB_NAME [ARGUMENTS].
# GPUS (8), GPUS_PER_NODE (8, or GPUS if fewer) and CPUS_PER_TASK (5) say how many; SRUN_ARGS has further options of srun.
set -euo pipefail
tool=$1 partition=$2 name=$3
shift 3
gpus=${GPUS:-8}
per_node=${GPUS_PER_NODE:-$((gpus < 8 ? gpus : 8))}
read -ra further <<<"${SRUN_ARGS:-}"
exec srun --partition="$partition" --job-name="$name" --gres="gpu:$per_node" --ntasks="$gpus" \
    --ntasks-per-node="$per_node" --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 ${further[@]+"${further[@]}"} \
    "${PYTHON:-python}" -u "$(dirname "$0")/$tool.py" "$@" --launcher slurm
