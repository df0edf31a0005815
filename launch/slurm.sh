#!/usr/bin/env bash
# Submits a study to SLURM, a process for each GPU. A job whose time is up, or
# that is preempted, saves its update and queues again, until the study is done.
set -euo pipefail

usage() {
  cat <<'END'
Usage: bash launch/slurm.sh --nodes=N --gpus=N --time=HH:MM:SS [--partition=NAME]
         [--account=NAME] [--cpus=N] [--dry-run] -- ARGUMENTS OF MAIN

  --nodes=N    machines
  --gpus=N     GPUs of each, a process each
  --cpus=N     cores of each process, for decoding; by default 8
  --time=..    of one job; the study may take as many as it needs
  --dry-run    print the job, and submit nothing

Run it where the job is to run: the jobs share this folder, its .venv (made with
EXTRAS=cuda, here, first) and the workdir.
END
}

# shellcheck source=launch/run.sh
source "$(dirname "${BASH_SOURCE[0]}")/run.sh"
NODES="" GPUS="" TIME="" PARTITION="" ACCOUNT="" CPUS=8
parse_options "nodes gpus time partition account cpus" "" "$@"
need NODES GPUS TIME
for value in "$NODES" "$GPUS" "$TIME" "$PARTITION" "$ACCOUNT" "$CPUS"; do
  # Each stands in a line that SLURM reads.
  if [[ $value == *[$'\n\r ']* ]]; then fail "found ${value@Q}, expected no space or newline"; fi
done

if [ "$DRY_RUN" = 0 ]; then
  EXTRAS=${EXTRAS:-cuda}
  # shellcheck source=launch/venv.sh
  source "$(dirname "${BASH_SOURCE[0]}")/venv.sh"
fi
# SIGTERM comes two minutes before the end, to every process.
job=$(
  cat <<END
#!/usr/bin/env bash
#SBATCH --job-name=sslprune_jax --nodes=$NODES --ntasks-per-node=$GPUS
#SBATCH --gpus-per-node=$GPUS --cpus-per-task=$CPUS --time=$TIME
#SBATCH --signal=TERM@120 --requeue --open-mode=append --output=slurm-%j.log
${PARTITION:+#SBATCH --partition=$PARTITION
}${ACCOUNT:+#SBATCH --account=$ACCOUNT
}set -euo pipefail
source .venv/bin/activate
srun python -m sslprune_jax.main --coordinator=auto ${REST[*]@Q} 2>&1 |
  tee "slurm-\$SLURM_JOB_ID.last"
if grep -q "resume with the same command" "slurm-\$SLURM_JOB_ID.last"; then
  scontrol requeue "\$SLURM_JOB_ID"
fi
END
)
if [ "$DRY_RUN" = 1 ]; then
  echo "$job"
else
  sbatch <<<"$job"
fi
