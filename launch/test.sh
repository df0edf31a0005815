#!/usr/bin/env bash
# Passes the tests, making .venv first if there is none; arguments go to pytest.
set -euo pipefail
EXTRAS=${EXTRAS:-test}
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$0")/venv.sh"
exec python -m pytest "$@"
