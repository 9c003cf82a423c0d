#!/usr/bin/env bash
# Train on several GPUs: tools/dist_train.sh CONFIG GPUS [OPTIONS of tools/train.py]. Several nodes: see tools/dist.sh.
set -euo pipefail
config=${1:?usage: tools/dist_train.sh CONFIG GPUS [OPTIONS]}
gpus=${2:?usage: tools/dist_train.sh CONFIG GPUS [OPTIONS]}
exec "$(dirname "$0")/dist.sh" train "$gpus" "$config" "${@:3}"
