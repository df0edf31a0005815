#!/usr/bin/env bash
# Runs a study on this machine, making .venv first if there is none.
#   bash launch/local.sh --config=configs/quickstart.py
#   EXTRAS=cuda bash launch/local.sh --config=configs/rotnet.py:cifar10
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$0")/venv.sh"
exec python -m sslprune_jax.main "$@"
