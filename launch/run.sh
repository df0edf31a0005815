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

# Like `run`, in place of the script: signals are for the command.
run_last() {
  if [ "${DRY_RUN:-0}" = 1 ]; then run "$@"; else exec "$@"; fi
}

# Ends a script whose arguments make no sense: fail WORDS...
fail() {
  echo "error: $*; see --help" >&2
  exit 2
}

# parse_common USAGE ARGUMENTS...: answers --help, and takes --dry-run off what
# stands first; the rest is in REST.
parse_common() {
  local usage=$1
  shift
  DRY_RUN=0
  case ${1:-} in
    --help) "$usage" && exit ;;
    --dry-run) DRY_RUN=1 && shift ;;
  esac
  # shellcheck disable=SC2034 # For the scripts that source this.
  REST=("$@")
}
