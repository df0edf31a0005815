# shellcheck shell=bash
# Sourced by the scripts beside it: `run` runs a command or, with DRY_RUN=1,
# prints it as a shell would read it.
run() {
  if [ "${DRY_RUN:-0}" = 1 ]; then
    echo "${@@Q}"
  else
    "$@"
  fi
}

# Ends a script whose arguments make no sense: fail WORDS...
fail() {
  echo "error: $*; see --help" >&2
  exit 2
}
