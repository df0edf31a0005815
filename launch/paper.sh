#!/usr/bin/env bash
# Makes all figures of the paper on a data set, and one page of them.
set -euo pipefail

usage() {
  cat <<'END'
Usage: bash launch/paper.sh [--dry-run] SET [--seeds=A..B] [--figures=F,...]
                            [ARGUMENTS OF MAIN]

  SET  digits_half, fashion_mnist, digits, cifar10 or imagenet2012

  bash launch/paper.sh digits_half --processes=2 --seeds=3..14

--seeds=6..11 runs these, beside those that are there, and
--figures=fig3_masks,fig7_rewind these alone. The result lines of each finished
seed are copied to docs/paper/runs/, to be committed, and docs/paper/SET.md is
drawn from there. Of studies that further arguments change, and of digits, whose
claims digits_half judges, nothing is kept: their page is
runs/paper/SET/report.html, as of all. Killed, the same command goes on.
END
}

here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=launch/run.sh
source "$here/run.sh"
parse_leading "$@"
dataset=${REST[0]:-}
case $dataset in
  digits_half | fashion_mnist | digits | cifar10 | imagenet2012) ;;
  *) fail "SET: found '$dataset', expected one of those listed" ;;
esac
arguments=() kept=1 figures=
if [ "$dataset" = digits ]; then kept=0; fi
for word in "${REST[@]:1}"; do
  case $word in
    --seeds=*)
      if ! [[ $word =~ ^--seeds=([0-9]+)\.\.([0-9]+)$ ]] ||
        ((10#${BASH_REMATCH[1]} > 10#${BASH_REMATCH[2]})); then
        fail "found $word, expected two seeds in order, as --seeds=6..11"
      fi
      seeds=$(seq -s , "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}")
      arguments+=("--config.seeds=($seeds,)")
      ;;
    --figures=*) figures=,${word#*=} ;;
    --processes=*) arguments+=("$word") ;;
    *) arguments+=("$word") kept=0 ;;
  esac
done
if [ "$DRY_RUN" = 0 ]; then
  # shellcheck source=launch/venv.sh
  source "$here/venv.sh"
else
  cd "$here/.."
fi
workdir=runs/paper/$dataset page=docs/paper/$dataset.md
command=(python -m sslprune_jax.main --config="configs/figures.py:$dataset$figures" "${arguments[@]}")
if [ "$DRY_RUN" = 1 ]; then
  run "${command[@]}"
else
  # A study that SIGTERM stopped has ended well: the rest is not for now.
  trap 'kill -TERM $! && wait $! && exit' TERM
  # Behind & it does not hear Ctrl-C itself.
  trap 'kill -TERM $!; wait $! || true; exit 130' INT
  "${command[@]}" &
  wait $!
fi
if [ $kept = 1 ]; then
  run python -m sslprune_jax.study.store "$workdir" --to=docs/paper/runs
  run python -m sslprune_jax.report "docs/paper/runs/$dataset"/*/seed_* --out="$page"
fi
