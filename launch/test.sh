#!/usr/bin/env bash
# Passes the tests, making .venv first if there is none.
set -euo pipefail

usage() {
  cat <<'END'
Usage: bash launch/test.sh [--dry-run] [ARGUMENTS OF PYTEST]

  bash launch/test.sh tests/test_masks.py
END
}

# shellcheck source=launch/run.sh
source "$(dirname "${BASH_SOURCE[0]}")/run.sh"
parse_leading "$@"
EXTRAS=${EXTRAS:-test}
if [ "$DRY_RUN" = 0 ]; then
  # shellcheck source=launch/venv.sh
  source "$(dirname "${BASH_SOURCE[0]}")/venv.sh"
fi
run_last python -m pytest "${REST[@]}"
