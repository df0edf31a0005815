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
nodes="" gpus="" time="" partition="" account="" cpus=8 DRY_RUN=0
while [ $# -gt 0 ]; do
  case $1 in
    --help) usage && exit ;;
    --nodes=*) nodes=${1#*=} ;;
    --gpus=*) gpus=${1#*=} ;;
    --time=*) time=${1#*=} ;;
    --partition=*) partition=${1#*=} ;;
    --account=*) account=${1#*=} ;;
    --cpus=*) cpus=${1#*=} ;;
    --dry-run) DRY_RUN=1 ;;
    --) shift && break ;;
    *) fail "found $1, expected one of the options" ;;
  esac
  shift
done
for needed in nodes gpus time; do
  if [ -z "${!needed}" ]; then fail "--$needed: found none, expected one"; fi
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
#SBATCH --job-name=sslprune_jax --nodes=$nodes --ntasks-per-node=$gpus
#SBATCH --gpus-per-node=$gpus --cpus-per-task=$cpus --time=$time
#SBATCH --signal=TERM@120 --requeue --open-mode=append --output=slurm-%j.log
${partition:+#SBATCH --partition=$partition
}${account:+#SBATCH --account=$account
}set -euo pipefail
source .venv/bin/activate
srun python -m sslprune_jax.main --coordinator=auto ${*@Q}
if tail -n 20 "slurm-\$SLURM_JOB_ID.log" | grep -q "resume with the same command"; then
  scontrol requeue "\$SLURM_JOB_ID"
fi
END
)
if [ "$DRY_RUN" = 1 ]; then
  echo "$job"
else
  sbatch <<<"$job"
fi
