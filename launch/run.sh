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

# parse_options "OPTION ..." "SWITCH ..." ARGUMENTS...: answers --help by `usage`;
# sets NAME of --name=..., 1 of a switch such as --dry-run, WORDS of what is no
# option, and REST of what follows --.
parse_options() {
  local options=" $1 " switches=" $2 dry_run " name
  shift 2
  DRY_RUN=0 WORDS=() REST=()
  while [ $# -gt 0 ]; do
    name=${1#--} name=${name%%=*} name=${name//-/_}
    case $1 in
      --help) usage && exit ;;
      --) shift && REST=("$@") && break ;;
      --*=*)
        if [[ $options != *" $name "* ]]; then fail "found $1, expected one of the options"; fi
        printf -v "${name^^}" %s "${1#*=}"
        ;;
      --*)
        if [[ $switches != *" $name "* ]]; then fail "found $1, expected one of the options"; fi
        printf -v "${name^^}" 1
        ;;
      *) WORDS+=("$1") ;;
    esac
    shift
  done
}

# parse_leading ARGUMENTS...: answers --help by `usage`, and takes --dry-run off
# what stands first; the rest, which is another program's, is in REST.
parse_leading() {
  DRY_RUN=0
  case ${1:-} in
    --help) usage && exit ;;
    --dry-run) DRY_RUN=1 && shift ;;
  esac
  # shellcheck disable=SC2034 # For the scripts that source this.
  REST=("$@")
}

# Ends a script that lacks options: need OPTION...
need() {
  local name
  for name in "$@"; do
    if [ -z "${!name}" ]; then fail "--${name,,}: found none, expected one"; fi
  done
}
