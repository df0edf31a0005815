#!/usr/bin/env bash
# Makes all figures of the paper on a data set, and one page of them; killed, the
# same command goes on. Further arguments go to each figure's command.
#   bash launch/paper.sh digits --processes=2
set -euo pipefail
dataset=${1:?name a data set: digits, fashion_mnist, cifar10 or imagenet2012}
shift
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$0")/venv.sh"
for config in configs/paper/*.py; do
  python -m sslprune_jax.main --config="$config:$dataset" "$@"
done
python -m sslprune_jax.report runs/paper/*_"$dataset" \
  --out="runs/paper/$dataset.html"
