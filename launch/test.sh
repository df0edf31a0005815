#!/usr/bin/env bash
# Passes the tests, making .venv first if there is none: those that take seconds,
# or with --slow those that take minutes.
set -euo pipefail

usage() {
  cat <<'END'
Usage: bash launch/test.sh [--dry-run] [--slow] [ARGUMENTS OF PYTEST]

  bash launch/test.sh tests/test_masks.py
  bash launch/test.sh --slow   # the tests that take minutes, and only those
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
if [ "${REST[0]:-}" = --slow ]; then REST=(-m slow "${REST[@]:1}"); fi
run_last python -m pytest "${REST[@]}"
