#!/usr/bin/env bash
# Runs a study on a Cloud TPU, from nothing to its report.
set -euo pipefail

usage() {
  cat <<'END'
Usage: bash launch/tpu.sh COMMAND --name=NAME --topology=v5e:4x8 --zone=ZONE
         [--project=PROJECT] [--data=gs://BUCKET/PATH] [--spot] [--dry-run]
         [-- ARGUMENTS OF MAIN]

Commands
  all     ask for a slice, wait for it, set it up, run the study and follow it;
          again with another slice after a preemption, until the study is done,
          then delete the slice; one whose study fails stays. Killed, the same
          command goes on.
  create  ask for the slice, as a queued resource
  state   print its state
  setup   copy this commit to all hosts, and make its environment there
  start   start the study on all hosts; it goes on when you log out
  logs    follow what the first host prints
  delete  delete the slice

Options
  --topology=KIND:SHAPE    as in preflight: v4:2x2x2, v5e:4x8, v5p:4x4x4, v6e:4x4
  --data=gs://BUCKET/PATH  prepared data sets (launch/data.sh), mounted on the
                           hosts as ~/tensorflow_datasets
  --spot                   a slice that may be taken away, for less
  --dry-run                print the commands, and run none

The arguments of main are --config=... and --workdir=gs://BUCKET/PATH: the disks
of the hosts go with the slice.
END
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=launch/run.sh
source "$here/run.sh"
# shellcheck source=launch/cloud.sh
source "$here/cloud.sh"

NAME="" TOPOLOGY="" ZONE="" PROJECT="" DATA="" SPOT=0
pause=${SSLPRUNE_JAX_PAUSE:-60} # seconds between two looks at the slice
parse_options "name topology zone project data" spot "$@"
need NAME ZONE TOPOLOGY
if ! [[ $TOPOLOGY =~ ^(v4|v5p):[0-9]+x[0-9]+x[0-9]+$|^(v5e|v6e):[0-9]+x[0-9]+$ ]]; then
  fail "--topology: found $TOPOLOGY, expected such as v5e:4x8 or v4:2x2x2"
fi

# What a study leaves on a host goes with the slice.
need_bucket() {
  case " ${REST[*]} " in
    *" --workdir=gs://"* | *" --workdir gs://"*) ;;
    *) fail "--workdir: found none in a bucket, expected --workdir=gs://BUCKET/PATH behind --" ;;
  esac
}

# Fails where a part does, also where errexit is off: no other commit is run.
setup() {
  local archive=${TMPDIR:-/tmp}/sslprune_jax.tar.gz
  run git -C "$here/.." archive --format=tar.gz --output="$archive" HEAD &&
    cloud_copy "$archive" &&
    cloud_ssh all "rm -rf sslprune_jax && mkdir sslprune_jax && tar -xzf \
sslprune_jax.tar.gz -C sslprune_jax && bash sslprune_jax/launch/host.sh prepare ${DATA@Q}"
}

start() {
  cloud_ssh all "bash sslprune_jax/launch/host.sh start ${*@Q}"
}

# Succeeds if the slice was taken away. Not to hear of it is no sign: a network
# that fails for a minute must not cost the slice.
is_gone() {
  case $(cloud_state) in
    FAILED | SUSPENDING | SUSPENDED) return ;;
    *) return 1 ;;
  esac
}

# Waits until the slice is there; fails if it was taken away before.
await_slice() {
  local state
  while true; do
    state=$(cloud_state) || state="no answer"
    echo "$state"
    if [ "$state" = ACTIVE ] || [ "$DRY_RUN" = 1 ]; then return; fi
    if is_gone; then return 1; fi
    sleep "$pause"
  done
}

# Ends after a failure: the slice stays, for what its hosts say to be read.
leave() {
  echo "error: failed; the slice $NAME is still there, and costs: see above, then" \
    "bash launch/tpu.sh delete --name=$NAME --topology=$TOPOLOGY --zone=$ZONE" >&2
  exit 1
}

# Prints how far the study is until it ends; fails if the slice does. A study that
# has ended without being done, as its host was restarted, is started again.
await_study() {
  local last idle=0
  while true; do
    last=$(cloud_ssh 0 "tail -n 2 run.log") || last="no answer"
    echo "$last"
    case $last in
      *"resume with the same command"*) ;; # It waits for the slice to go.
      *"exit status 0"*) return ;;
      *"exit status"*) leave ;;
    esac
    if [ "$DRY_RUN" = 1 ]; then return; fi
    if is_gone; then return 1; fi
    if running; then idle=0; else idle=$((idle + 1)); fi
    if [ $idle = 3 ]; then start "${REST[@]}" && idle=0; fi
    sleep "$pause"
  done
}

# Says whether a study runs already; asks until a host answers.
running() {
  local answer
  while true; do
    answer=$(cloud_ssh 0 "if bash sslprune_jax/launch/host.sh is_running 2>/dev/null; \
then echo running; else echo idle; fi") || answer="no answer"
    case $answer in
      *running*) return ;;
      *idle*) return 1 ;;
    esac
    if [ "$DRY_RUN" = 1 ] || is_gone; then return 1; fi
    sleep "$pause"
  done
}

run_once() {
  if [ -z "$(cloud_state 2>/dev/null)" ] || [ "$DRY_RUN" = 1 ]; then
    cloud_create || exit
  fi
  await_slice || return
  if [ "$DRY_RUN" = 1 ] || ! running; then
    if ! { setup && start "${REST[@]}"; }; then
      if is_gone; then return 1; fi
      leave
    fi
  fi
  await_study
}

case ${WORDS[0]:-} in
  all)
    need_bucket
    until run_once; do
      echo "the slice is gone: asking for another one"
      cloud_delete || true
      sleep "$pause"
    done
    cloud_delete
    ;;
  create) cloud_create ;;
  state) cloud_state ;;
  setup) setup ;;
  start)
    need_bucket
    start "${REST[@]}"
    ;;
  logs) cloud_ssh 0 "tail -n 100 -F run.log" ;;
  delete) cloud_delete ;;
  *) fail "COMMAND: found '${WORDS[0]:-}', expected one of those listed" ;;
esac
