#!/usr/bin/env bash
# Runs a part of what is to be seen on a machine with a GPU or TPU.
set -euo pipefail

usage() {
  cat <<'END'
Usage: [EXTRAS=cuda] bash launch/accelerator.sh PART [OPTIONS]

  PART          correct, speed, inference, figures; or page: what they found, as
                a page
  --out=FOLDER  where PART.json is written (runs/accelerator)
  --short       a short form on any device, a CPU too
  --dry-run     print the command, and run nothing

The Python at hand (PYTHON, python or python3) is used if its JAX finds an
accelerator, or with --short if it has JAX at all; else .venv is made, with
EXTRAS. A part takes at most eight minutes; the same command goes on.
END
}

here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=launch/run.sh
source "$here/run.sh"
OUT='' SHORT=0
parse_options "out" "short" "$@"
part=${WORDS[0]:-}
case $part in
  correct | speed | inference | figures | page) ;;
  *) fail "PART: found '$part', expected one of those listed" ;;
esac
if [ ${#WORDS[@]} -gt 1 ]; then fail "found ${WORDS[1]}, expected one PART"; fi
arguments=("$part" ${OUT:+"--out=$OUT"})
if [ "$SHORT" = 1 ]; then arguments+=(--short); fi

# Whether a Python's JAX finds an accelerator, or need not: serves PYTHON ANY.
serves() {
  "$1" -c 'import sys, jax
sys.exit(sys.argv[1] == "0" and jax.default_backend() == "cpu")' \
    "$2" >/dev/null 2>&1
}

any=$SHORT
if [ "$part" = page ]; then any=1; fi
python=${PYTHON:-$(command -v python || command -v python3 || echo python3)}
if [ "$DRY_RUN" = 0 ] && ! serves "$python" "$any"; then
  # shellcheck source=launch/venv.sh
  source "$here/venv.sh"
  cd - >/dev/null
  python=python
fi
run_last "$python" "$here/../benchmarks/accelerator.py" "${arguments[@]}"
