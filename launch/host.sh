#!/usr/bin/env bash
# What launch/tpu.sh runs on each host of a slice.
set -euo pipefail

usage() {
  cat <<'END'
Usage: bash launch/host.sh prepare [gs://BUCKET/PATH] | start ARGUMENTS OF MAIN | is_running

  prepare     make the environment, and mount a bucket's data sets as
              ~/tensorflow_datasets
  start       run the study, detached; what it prints goes to ~/run.log
  is_running  succeed if a study runs
END
}

cd "$(dirname "${BASH_SOURCE[0]}")/.."
case ${1:---help} in
  prepare)
    # The hosts' Ubuntu has an older Python than 3.11: uv brings one.
    python3 -m pip install --quiet --user uv
    export PATH="$HOME/.local/bin:$PATH"
    uv python install --quiet 3.12
    PYTHON=$(uv python find 3.12) EXTRAS=tpu,gcs
    # shellcheck source=launch/venv.sh
    source launch/venv.sh
    data=${2:-}
    if [ -n "$data" ] && ! mountpoint -q ~/tensorflow_datasets; then
      mkdir -p ~/tensorflow_datasets
      rest=${data#gs://} path=""
      if [[ $rest == */* ]]; then path=${rest#*/}; fi
      gcsfuse --implicit-dirs ${path:+--only-dir="$path"} "${rest%%/*}" \
        ~/tensorflow_datasets
    fi
    ;;
  start)
    shift
    # shellcheck source=/dev/null
    source .venv/bin/activate
    # JAX's own choice since 0.8.1, 8482, is closed on v6e by the default rules
    # of the firewall (jax issue 35905).
    export JAX_COORDINATOR_PORT=${JAX_COORDINATOR_PORT:-8476}
    # shellcheck disable=SC2016
    setsid nohup bash -c 'python -m sslprune_jax.main --coordinator=auto "$@"
      echo "exit status $?"' study "$@" >~/run.log 2>&1 </dev/null &
    echo $! >~/run.pid
    ;;
  is_running) kill -0 "$(cat ~/run.pid 2>/dev/null)" 2>/dev/null ;;
  *) usage ;;
esac
