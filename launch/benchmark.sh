#!/usr/bin/env bash
# Times ours beside what a user would pick instead, and writes docs/benchmarks.md.
set -euo pipefail

usage() {
  cat <<'END'
Usage: bash launch/benchmark.sh [--dry-run] [CASE ...]

Without a case: all of them, in 45 minutes on 2 idle cores, and the page.
Fashion-MNIST must be prepared: launch/prepare_fashion_mnist.py.
END
}

# shellcheck source=launch/run.sh
source "$(dirname "${BASH_SOURCE[0]}")/run.sh"
parse_leading "$@"
if [ "$DRY_RUN" = 0 ]; then
  EXTRAS=benchmarks
  # shellcheck source=launch/venv.sh
  source "$(dirname "${BASH_SOURCE[0]}")/venv.sh"
fi
# PyTorch's CPU build, as a range would take gigabytes of CUDA.
run pip install --quiet torch==2.13.0
page=(--write)
if [ ${#REST[@]} -gt 0 ]; then page=(); fi
run_last python benchmarks/run.py "${REST[@]}" "${page[@]}"
