#!/usr/bin/env bash
# Run a tool in several processes with torchrun: tools/dist.sh TOOL PROCESSES [ARGUMENTS].
# On several nodes, once on each: NNODES, NODE_RANK, MASTER_ADDR and PORT say which; or RDZV_ENDPOINT=HOST:PORT, the same
# everywhere, lets torchrun deal out the ranks. PYTHON names another interpreter.
set -euo pipefail
tool=$1 processes=$2
shift 2
if [[ -n ${RDZV_ENDPOINT:-} ]]; then
    nodes=(--nnodes "${NNODES:-1}" --rdzv-backend c10d --rdzv-endpoint "$RDZV_ENDPOINT" --rdzv-id "${RDZV_ID:-flmm}")
elif [[ ${NNODES:-1} == 1 ]]; then
    nodes=(--standalone) # takes a free port, so that two runs may share a machine
else
    nodes=(--nnodes "$NNODES" --node-rank "${NODE_RANK:?of this node, 0 to NNODES - 1}"
        --master-addr "${MASTER_ADDR:?of node 0}" --master-port "${PORT:-29500}")
fi
exec "${PYTHON:-python}" -m torch.distributed.run "${nodes[@]}" --nproc-per-node "$processes" \
    "$(dirname "$0")/$tool.py" "$@" --launcher pytorch
