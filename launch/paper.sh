#!/usr/bin/env bash
# Makes all figures of the paper on a data set, and one page of them.
set -euo pipefail

usage() {
  cat <<'END'
Usage: bash launch/paper.sh [--dry-run] SET [ARGUMENTS OF MAIN]

  SET  digits, fashion_mnist, cifar10 or imagenet2012

  bash launch/paper.sh digits --processes=2

Killed, the same command goes on.
END
}

here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=launch/run.sh
source "$here/run.sh"
parse_leading "$@"
dataset=${REST[0]:-}
case $dataset in
  digits | fashion_mnist | cifar10 | imagenet2012) ;;
  *) fail "SET: found '$dataset', expected one of those listed" ;;
esac
if [ "$DRY_RUN" = 0 ]; then
  # shellcheck source=launch/venv.sh
  source "$here/venv.sh"
else
  cd "$here/.."
fi
runs=()
# A study that SIGTERM stopped has ended well: the rest is not for now.
trap 'kill -TERM $! && wait $! && exit' TERM
for config in configs/paper/*.py; do
  name=${config##*/}
  runs+=("runs/paper/${name%.py}_$dataset")
  command=(python -m sslprune_jax.main --config="$config:$dataset" "${REST[@]:1}")
  if [ "$DRY_RUN" = 1 ]; then
    run "${command[@]}"
  else
    "${command[@]}" &
    wait $!
  fi
done
run python -m sslprune_jax.report "${runs[@]}" --out="runs/paper/$dataset.html"
