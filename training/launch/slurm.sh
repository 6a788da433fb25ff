#!/bin/bash
#SBATCH --job-name=mmreason
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --exclusive
# One run on one or more nodes: data, cold start, RL with vLLM servers on the last nodes, evaluation and report.
#
#   sbatch --nodes=4 training/launch/slurm.sh dianjin-r1 --profile paper --out /shared/runs/mine launch.fsdp=true
#
# --out must lie on a disk that all nodes share: the trainer hands weights to the servers through it. Settings:
#   SERVER_NODES    nodes that only sample, taken from the end of the allocation (default 1; 0 on a single node:
#                   grpo.engine as the recipe says, no servers)
#   SERVER_GPUS     GPUs of one server, its tensor parallelism (default 1)
#   GPUS            GPUs of a node (default: what Slurm gave, else 8)
#   CHECKPOINT      what the servers load first, for architecture and sizes (default OUT/checkpoints/sft/final)
#   MAX_MODEL_LEN   data.max_prompt_tokens + grpo.sampling.max_new_tokens (default 12288)
#   SERVER_PORT, MASTER_PORT, WAIT_S    default 8001 and up, 29500, 1200 seconds for servers to load
#   DRY_RUN=1       print every command and start none
set -euo pipefail

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
GPUS=${GPUS:-${SLURM_GPUS_ON_NODE:-8}}
SERVER_NODES=${SERVER_NODES:-$((${#nodes[@]} > 1 ? 1 : 0))}
SERVER_GPUS=${SERVER_GPUS:-1}
SERVER_PORT=${SERVER_PORT:-8001}
MASTER_PORT=${MASTER_PORT:-29500}
MAX_MODEL_LEN=${MAX_MODEL_LEN:-12288}
WAIT_S=${WAIT_S:-1200}
PYTHON=${PYTHON:-python}

out="" previous=""
for word in "$@"; do
  if [[ $previous == --out ]]; then out=$word; fi
  previous=$word
done
if [[ -z $out ]]; then echo "slurm.sh: give --out, a folder that all nodes share" >&2; exit 2; fi
if ((SERVER_NODES >= ${#nodes[@]})); then
  echo "slurm.sh: SERVER_NODES=$SERVER_NODES leaves none of ${#nodes[@]} nodes to train" >&2; exit 2
fi
if ((GPUS % SERVER_GPUS != 0)); then
  echo "slurm.sh: GPUS=$GPUS is no multiple of SERVER_GPUS=$SERVER_GPUS" >&2; exit 2
fi
CHECKPOINT=${CHECKPOINT:-$out/checkpoints/sft/final}
trainers=("${nodes[@]:0:${#nodes[@]}-SERVER_NODES}")
servers=("${nodes[@]:${#nodes[@]}-SERVER_NODES}")

urls=()
for node in ${servers[@]+"${servers[@]}"}; do
  for ((k = 0; k < GPUS / SERVER_GPUS; k++)); do urls+=("http://$node:$((SERVER_PORT + k))"); done
done
words=("$@" "launch.processes=$((${#trainers[@]} * GPUS))")
if ((${#urls[@]} > 0)); then
  listed=$(printf '"%s",' "${urls[@]}")
  words+=("grpo.engine=vllm_server" "grpo.server_urls=[${listed%,}]")
fi

say() { printf '%q ' "$@"; echo; }
do_or_say() { if [[ -n ${DRY_RUN:-} ]]; then say "$@"; else "$@"; fi; }

# A stage that is not trained runs on the first node; a trained one as torchrun on every trainer's node.
alone() { do_or_say srun --nodes=1 --ntasks=1 --nodelist="${trainers[0]}" "$PYTHON" -m mmreason.cli "$@"; }
train() {
  do_or_say srun --nodes="${#trainers[@]}" --ntasks="${#trainers[@]}" --ntasks-per-node=1 \
    --nodelist="$(IFS=,; echo "${trainers[*]}")" "$PYTHON" -m torch.distributed.run \
    --nnodes="${#trainers[@]}" --nproc-per-node="$GPUS" --rdzv-id="$SLURM_JOB_ID-$1" --rdzv-backend=c10d \
    --rdzv-endpoint="${trainers[0]}:$MASTER_PORT" -m mmreason.cli "$@"
}

started=()
stop_servers() {
  for pid in ${started[@]+"${started[@]}"}; do kill "$pid" 2>/dev/null || true; done
  wait ${started[@]+"${started[@]}"} 2>/dev/null || true
  started=()
}
trap stop_servers EXIT
trap 'exit 143' INT TERM

start_servers() {
  local url node port first
  for url in ${urls[@]+"${urls[@]}"}; do
    node=${url#http://} port=${url##*:}
    node=${node%:*} first=$(((port - SERVER_PORT) * SERVER_GPUS))
    local command=(srun --nodes=1 --ntasks=1 --nodelist="$node" --overlap
      env "CUDA_VISIBLE_DEVICES=$(seq -s, "$first" $((first + SERVER_GPUS - 1)))" VLLM_SERVER_DEV_MODE=1
      "$PYTHON" -m vllm.entrypoints.openai.api_server --model "$CHECKPOINT" --host "$node" --port "$port"
      --tensor-parallel-size "$SERVER_GPUS" --max-model-len "$MAX_MODEL_LEN" --enable-scale-out
      --logprobs-mode processed_logprobs --no-mm-device-do-normalize
      --worker-extension-cls mmreason.rollout.vllm_worker.WeightsFromFolder)
    if [[ -n ${DRY_RUN:-} ]]; then say "${command[@]}"; continue; fi
    "${command[@]}" >"$out/server_${node}_$port.log" 2>&1 &
    started+=($!)
  done
  if [[ -z ${DRY_RUN:-} ]]; then wait_for_servers; fi
}

wait_for_servers() {
  local deadline=$((SECONDS + WAIT_S)) k
  for k in "${!urls[@]}"; do
    until curl --silent --fail --max-time 5 "${urls[k]}/health" >/dev/null; do
      if ! kill -0 "${started[k]}" 2>/dev/null || ((SECONDS > deadline)); then
        echo "slurm.sh: the vLLM server ${urls[k]} did not start: see $out/server_*.log" >&2; exit 1
      fi
      sleep 2
    done
  done
}

alone data "${words[@]}"
train sft "${words[@]}"
start_servers
train grpo "${words[@]}"
stop_servers
alone run "${words[@]}"  # what is left: evaluation and report; stages that are done are not run again
