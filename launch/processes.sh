#!/usr/bin/env bash
# Runs a study by several processes on this machine, as the hosts of a slice do.
set -euo pipefail

usage() {
  cat <<'END'
Usage: bash launch/processes.sh COUNT [--devices=N] [--port=PORT] [--dry-run]
         -- ARGUMENTS OF MAIN

  COUNT        processes
  --devices=N  forced CPU devices of each; by default what JAX finds
  --port=PORT  that the first one listens on; by default 12355
  --dry-run    print the commands, and run none

  bash launch/processes.sh 2 --devices=2 -- --config=configs/quickstart.py
END
}

# shellcheck source=launch/run.sh
source "$(dirname "${BASH_SOURCE[0]}")/run.sh"
DEVICES="" PORT=12355
parse_options "devices port" "" "$@"
count=${WORDS[0]:-}
if ! [[ $count =~ ^[1-9][0-9]*$ ]]; then
  fail "COUNT: found '$count', expected a number of processes"
fi

if [ "$DRY_RUN" = 0 ]; then
  # shellcheck source=launch/venv.sh
  source "$(dirname "${BASH_SOURCE[0]}")/venv.sh"
fi
environment=()
if [ -n "$DEVICES" ]; then
  flag=--xla_force_host_platform_device_count=$DEVICES
  environment=(env JAX_PLATFORMS=cpu "XLA_FLAGS=${XLA_FLAGS:+$XLA_FLAGS }$flag")
fi
pids=()
for ((i = 0; i < count; i++)); do
  command=("${environment[@]}" python -m sslprune_jax.main
    "--coordinator=localhost:$PORT" "--process=$i/$count" "${REST[@]}")
  if [ "$DRY_RUN" = 1 ]; then
    run "${command[@]}"
  else
    "${command[@]}" &
    pids+=($!)
  fi
done
trap 'kill -TERM "${pids[@]}" 2>/dev/null' TERM INT
status=0
for pid in "${pids[@]}"; do
  # A signal ends `wait`, not the process.
  while kill -0 "$pid" 2>/dev/null; do wait "$pid" || true; done
  wait "$pid" || status=$?
done
exit "$status"
