# shellcheck shell=bash
# Sourced by the scripts beside it: makes .venv with this package in it, and
# activates it. EXTRAS names the extras to install, "cuda" or "test,parity".
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit

find_python() {
  local candidate
  for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
      2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  echo "no Python 3.11 or newer found; name one with PYTHON=..." >&2
  return 1
}

if [ ! -x .venv/bin/python ]; then
  python=$(find_python)
  echo "making .venv with $("$python" --version)"
  "$python" -m venv .venv
fi
# The stamp says which extras are there, so that a second run starts at once.
stamp=.venv/installed-${EXTRAS:-none}
if [ ! "$stamp" -nt pyproject.toml ]; then
  .venv/bin/python -m pip install --quiet --upgrade pip
  .venv/bin/python -m pip install --quiet --editable ".${EXTRAS:+[$EXTRAS]}"
  touch "$stamp"
fi
# shellcheck source=/dev/null
source .venv/bin/activate
