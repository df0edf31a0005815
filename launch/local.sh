#!/usr/bin/env bash
# Runs a study on this machine, making .venv first if there is none.
set -euo pipefail

usage() {
  cat <<'END'
Usage: [EXTRAS=cuda] bash launch/local.sh [--dry-run] ARGUMENTS OF MAIN

  bash launch/local.sh --config=configs/quickstart.py
  EXTRAS=cuda bash launch/local.sh --config=configs/rotnet.py:cifar10

EXTRAS names the extras to install: cuda, tpu, "cuda,tensorboard".
END
}

# shellcheck source=launch/run.sh
source "$(dirname "${BASH_SOURCE[0]}")/run.sh"
parse_leading "$@"
if [ "$DRY_RUN" = 0 ]; then
  # shellcheck source=launch/venv.sh
  source "$(dirname "${BASH_SOURCE[0]}")/venv.sh"
fi
run_last python -m sslprune_jax.main "${REST[@]}"
