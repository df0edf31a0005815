#!/usr/bin/env bash
# Prepares a TFDS data set as array_record and, if told so, copies it to a bucket.
set -euo pipefail

usage() {
  cat <<'END'
Usage: bash launch/data.sh SET [--data_dir=DIR] [--manual_dir=DIR]
         [--to=gs://BUCKET/PATH] [--dry-run]

  SET               imagenet2012, cifar10, voc/2007, ... as TFDS calls it
  --data_dir=DIR    where it is prepared; by default ~/tensorflow_datasets
  --manual_dir=DIR  holds what TFDS cannot download, ImageNet's archives:
                    ILSVRC2012_img_train.tar, ILSVRC2012_img_val.tar
  --to=gs://..      bucket that it is copied to, for launch/tpu.sh --data
  --dry-run         print the commands, and run none
END
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=launch/run.sh
source "$here/run.sh"
# shellcheck source=launch/cloud.sh
source "$here/cloud.sh"
DATA_DIR=$HOME/tensorflow_datasets MANUAL_DIR="" TO=""
parse_options "data_dir manual_dir to" "" "$@"
set=${WORDS[0]:-}
if [ -z "$set" ]; then fail "SET: found none, expected one"; fi

if [ "$DRY_RUN" = 0 ]; then
  EXTRAS=prepare
  # shellcheck source=launch/venv.sh
  source "$here/venv.sh"
fi
run tfds build "$set" --file_format=array_record --data_dir="$DATA_DIR" \
  ${MANUAL_DIR:+--manual_dir="$MANUAL_DIR"}
if [ -n "$TO" ]; then cloud_upload "$DATA_DIR/$set" "$TO/$set"; fi
