# shellcheck shell=bash
# Sourced by the scripts beside it: all that is said to Google Cloud. Expects
# NAME, ZONE, PROJECT ("" for gcloud's own), TOPOLOGY, SPOT (0 or 1) and `run`.

_in_place() {
  run "$@" --zone="$ZONE" ${PROJECT:+--project="$PROJECT"}
}

# The software of the machines of a slice; v4 and v5p come in several shapes of
# one size, the others are named by their size.
cloud_create() {
  local kind=${TOPOLOGY%%:*} shape=${TOPOLOGY#*:} runtime slice
  local chips=$((${shape//x/*}))
  case $kind in
    v4) runtime=tpu-ubuntu2204-base slice=(--type=v4 --topology="$shape") ;;
    v5p) runtime=v2-alpha-tpuv5 slice=(--type=v5p --topology="$shape") ;;
    v5e) runtime=v2-alpha-tpuv5-lite slice=(--accelerator-type="v5litepod-$chips") ;;
    v6e) runtime=v2-alpha-tpuv6e slice=(--accelerator-type="v6e-$chips") ;;
  esac
  if [ "$SPOT" = 1 ]; then slice+=(--spot); fi
  _in_place gcloud compute tpus queued-resources create "$NAME" \
    --node-id="$NAME" --runtime-version="$runtime" "${slice[@]}"
}

# Prints WAITING_FOR_RESOURCES, ACTIVE, SUSPENDED, FAILED, ... or nothing.
cloud_state() {
  _in_place gcloud compute tpus queued-resources describe "$NAME" \
    --format='value(state.state)'
}

# --force takes the machines with it.
cloud_delete() {
  _in_place gcloud compute tpus queued-resources delete "$NAME" --force --quiet
}

# cloud_ssh HOST COMMAND: a number, or all.
cloud_ssh() {
  _in_place gcloud compute tpus tpu-vm ssh "$NAME" --worker="$1" --command="$2"
}

# cloud_copy FILE: to the home of all hosts.
cloud_copy() {
  _in_place gcloud compute tpus tpu-vm scp "$1" "$NAME:" --worker=all
}

# cloud_upload FOLDER gs://BUCKET/PATH
cloud_upload() {
  run gcloud storage rsync --recursive "$1" "$2"
}
