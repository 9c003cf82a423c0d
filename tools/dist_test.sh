#!/usr/bin/env bash
# Test on several GPUs: tools/dist_test.sh CONFIG CHECKPOINT GPUS [OPTIONS of tools/test.py]. CHECKPOINT is '' for a model
# without one. Several nodes: see tools/dist.sh.
set -euo pipefail
config=${1:?usage: tools/dist_test.sh CONFIG CHECKPOINT GPUS [OPTIONS]}
checkpoint=${2?usage: tools/dist_test.sh CONFIG CHECKPOINT GPUS [OPTIONS]}
gpus=${3:?usage: tools/dist_test.sh CONFIG CHECKPOINT GPUS [OPTIONS]}
exec "$(dirname "$0")/dist.sh" test "$gpus" "$config" ${checkpoint:+"$checkpoint"} "${@:4}"
