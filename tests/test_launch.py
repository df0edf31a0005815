"""Launch scripts: their help, the commands they would run, and a preemption."""

import os
import pathlib
import shlex
import shutil
import subprocess

import pytest

LAUNCH = pathlib.Path(__file__).parent.parent / "launch"
_SLICE = ["--name=slice", "--topology=v5e:4x8", "--zone=zone"]
_STUDY = ["--", "--config=configs/npid.py:imagenet2012", "--config.seeds=(0,)"]
_BUCKET = "--workdir=gs://bucket/npid"
_ARGUMENTS = {
  "accelerator.sh": ["speed", "--out=found here", "--short", "--dry-run"],
  "local.sh": ["--dry-run", "--config=a.py", "--config.seeds=(0, 1)"],
  "test.sh": ["--dry-run", "-k", "masks or ties"],
  "benchmark.sh": ["--dry-run", "kmeans", "svm"],
  "paper.sh": [
    "--dry-run",
    "digits_half",
    "--processes=2",
    "--seeds=9..11",
    "--figures=fig3_masks,fig7_rewind",
  ],
  "processes.sh": ["2", "--devices=2", "--dry-run", *_STUDY],
  "slurm.sh": [
    "--nodes=2",
    "--gpus=8",
    "--time=24:00:00",
    "--partition=gpus",
    "--dry-run",
    *_STUDY,
  ],
  "data.sh": [
    "imagenet2012",
    "--data_dir=sets",
    "--manual_dir=archives",
    "--to=gs://bucket/sets",
    "--dry-run",
  ],
  "tpu.sh": ["all", *_SLICE, "--spot", "--dry-run", *_STUDY, _BUCKET],
}
_EXPECTED = {
  "accelerator.sh": [
    "benchmarks/accelerator.py' 'speed' '--out=found here' '--short'\n"
  ],
  "local.sh": [
    "'python' '-m' 'sslprune_jax.main' '--config=a.py' '--config.seeds=(0, 1)'"
  ],
  "test.sh": ["'python' '-m' 'pytest' '-k' 'masks or ties'"],
  "benchmark.sh": ["'python' 'benchmarks/run.py' 'kmeans' 'svm'\n"],
  "paper.sh": [
    "'--config=configs/figures.py:digits_half,fig3_masks,fig7_rewind' "
    "'--processes=2' "
    "'--config.seeds=(9,10,11,)'",
    "'sslprune_jax.study.store' 'runs/paper/digits_half' "
    "'--to=docs/paper/runs'",
    "'sslprune_jax.report' 'docs/paper/runs/digits_half/",
    "' '--out=docs/paper/digits_half.md'",
  ],
  "processes.sh": [
    "'XLA_FLAGS=--xla_force_host_platform_device_count=2' 'python' '-m' "
    "'sslprune_jax.main' '--coordinator=localhost:12355' '--process=0/2' "
    "'--config=configs/npid.py:imagenet2012' '--config.seeds=(0,)'",
    "'--process=1/2'",
  ],
  "slurm.sh": [
    "#SBATCH --job-name=sslprune_jax --nodes=2 --ntasks-per-node=8",
    "#SBATCH --gpus-per-node=8 --cpus-per-task=8 --time=24:00:00",
    "#SBATCH --signal=TERM@120 --requeue",
    "#SBATCH --partition=gpus\nset -euo pipefail",
    "srun python -m sslprune_jax.main --coordinator=auto "
    "'--config=configs/npid.py:imagenet2012' '--config.seeds=(0,)'",
    'tee "slurm-$SLURM_JOB_ID.last"',
    'scontrol requeue "$SLURM_JOB_ID"',
  ],
  "data.sh": [
    "'tfds' 'build' 'imagenet2012' '--file_format=array_record' "
    "'--data_dir=sets' '--manual_dir=archives'",
    "'gcloud' 'storage' 'rsync' '--recursive' 'sets/imagenet2012' "
    "'gs://bucket/sets/imagenet2012'",
  ],
  "tpu.sh": [
    "'gcloud' 'compute' 'tpus' 'queued-resources' 'create' 'slice' "
    "'--node-id=slice' '--runtime-version=v2-alpha-tpuv5-lite' "
    "'--accelerator-type=v5litepod-32' '--spot' '--zone=zone'",
    "'tpu-vm' 'scp'",
    "'--worker=all' '--command=bash sslprune_jax/launch/host.sh start "
    "'\\''--config=configs/npid.py:imagenet2012'\\''",
    "'queued-resources' 'delete' 'slice' '--force' '--quiet'",
  ],
}


def _run(script, *arguments, **environment):
  # What conftest sets is for the process of the tests, no flag of a user's.
  inherited = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
  return subprocess.run(
    ["bash", LAUNCH / script, *arguments],
    capture_output=True,
    text=True,
    env={**inherited, **environment},
    timeout=300,
  )


@pytest.mark.parametrize("script", sorted(_EXPECTED))
def test_dry_run_prints_the_commands(script):
  run = _run(script, *_ARGUMENTS[script])
  assert run.returncode == 0, run.stderr
  for words in _EXPECTED[script]:
    assert words in run.stdout


@pytest.mark.parametrize(
  "arguments, expected",
  [
    ([], "'python' '-m' 'pytest'"),
    (["--slow"], "'python' '-m' 'pytest' '-m' 'slow'"),
    (["--slow", "-x"], "'python' '-m' 'pytest' '-m' 'slow' '-x'"),
  ],
)
def test_slow_tests_are_run_by_a_switch(arguments, expected):
  run = _run("test.sh", "--dry-run", *arguments)
  assert run.stdout == expected + "\n", run.stderr


def test_what_stands_in_a_job_of_slurm_is_one_word():
  for value in ("a\n#SBATCH --uid=0", "a b"):
    options = ["--nodes=1", "--gpus=1", "--time=1", f"--account={value}"]
    run = _run("slurm.sh", *options, "--dry-run", *_STUDY)
    assert run.returncode == 2 and "expected no space or newline" in run.stderr
    assert not run.stdout


def test_a_bucket_is_one_word_of_the_hosts_command():
  options = ["setup", *_SLICE, "--data=gs://b/x; touch y", "--dry-run"]
  run = _run("tpu.sh", *options)
  assert run.returncode == 0, run.stderr
  command = shlex.split(run.stdout.splitlines()[-1])[-2]
  assert shlex.split(command)[-2:] == ["prepare", "gs://b/x; touch y"]


@pytest.mark.parametrize("script", [*sorted(_EXPECTED), "host.sh"])
def test_help_says_how_a_script_is_used(script):
  run = _run(script, "--help")
  assert run.returncode == 0
  assert run.stdout.startswith("Usage: ")


def test_every_script_is_tested():
  sourced = {"run.sh", "cloud.sh", "venv.sh", "host.sh"}
  assert {path.name for path in LAUNCH.glob("*.sh")} - sourced == set(_EXPECTED)


@pytest.mark.parametrize(
  "script, arguments, words",
  [
    ("tpu.sh", ["create", "--name=a", "--zone=z"], "--topology: found none"),
    (
      "tpu.sh",
      ["all", "--name=a", "--zone=z", "--topology=v5e:2x2x2"],
      "v5e:2",
    ),
    ("tpu.sh", ["fly", *_SLICE], "COMMAND: found 'fly'"),
    ("tpu.sh", ["all", "--nme=a"], "found --nme=a"),
    # Its results would go with the slice.
    ("tpu.sh", ["all", *_SLICE, *_STUDY], "expected --workdir=gs://BUCKET"),
    (
      "tpu.sh",
      ["start", *_SLICE, *_STUDY, "--workdir=runs/npid"],
      "--workdir: found none in a bucket",
    ),
    ("processes.sh", ["none"], "COUNT: found 'none'"),
    ("slurm.sh", ["--nodes=1"], "--gpus: found none"),
    ("data.sh", [], "SET: found none"),
    ("paper.sh", ["--dry-run", "mnist"], "SET: found 'mnist'"),
    ("paper.sh", ["--dry-run", "digits", "--seeds=9..6"], "found --seeds=9..6"),
    ("accelerator.sh", ["fast"], "PART: found 'fast'"),
    ("accelerator.sh", ["speed", "idle"], "found idle, expected one PART"),
  ],
)
def test_arguments_that_make_no_sense_are_one_line(script, arguments, words):
  run = _run(script, *arguments)
  assert run.returncode == 2
  assert run.stderr.startswith("error: ") and words in run.stderr
  assert len(run.stderr.splitlines()) == 1


@pytest.mark.parametrize(
  "arguments", [("digits_half", "--config.prune.rounds=1"), ("digits",)]
)
def test_of_studies_that_are_changed_and_of_digits_nothing_is_kept(arguments):
  run = _run("paper.sh", "--dry-run", *arguments)
  (line,) = run.stdout.splitlines()
  assert line.startswith("'python' '-m' 'sslprune_jax.main' '--config=configs/")
  (_, *kept) = _run("paper.sh", "--dry-run", "digits_half").stdout.splitlines()
  assert len(kept) == 2


def test_a_shape_of_v4_is_asked_for_as_a_shape():
  run = _run(
    "tpu.sh", "create", "--name=a", "--topology=v4:2x2x2", "--zone=z",
    "--project=p", "--dry-run",
  )  # fmt: skip
  assert "'--type=v4' '--topology=2x2x2'" in run.stdout
  assert "'--zone=z' '--project=p'" in run.stdout
  assert "--spot" not in run.stdout


_GCLOUD = """#!/usr/bin/env bash
# The network fails once for each question; then the slice is taken away once,
# in the middle of the study.
echo "$*" >> "$FAKE/calls"
once() {
  if [ -e "$FAKE/$1" ]; then return 1; fi
  touch "$FAKE/$1"
}
case "$*" in
  *describe*)
    if [ -e "$FAKE/made" ] && once described; then exit 1; fi
    cat "$FAKE/state" 2>/dev/null ;;
  *create*) echo ACTIVE > "$FAKE/state"; echo made >> "$FAKE/made" ;;
  *delete*) rm -f "$FAKE/state" ;;
  *is_running*)
    if once asked; then exit 255; fi
    echo idle ;;
  *"tail -n 2"*)
    if once followed; then exit 255; fi
    if [ "$(wc -l < "$FAKE/made")" = 1 ]; then
      echo SUSPENDED > "$FAKE/state"
      exit 255
    fi
    echo "report: gs://bucket/run/report.html"
    echo "exit status 0" ;;
esac
"""


def _run_all(folder, gcloud):
  """Runs `tpu.sh all` against a made-up gcloud; returns what it was told."""
  binaries = folder / "bin"
  binaries.mkdir()
  (binaries / "gcloud").write_text(gcloud)
  (binaries / "gcloud").chmod(0o755)
  run = _run(
    "tpu.sh",
    "all",
    *_SLICE,
    *_STUDY,
    _BUCKET,
    PATH=f"{binaries}:{os.environ['PATH']}",
    FAKE=str(folder),
    TMPDIR=str(folder),
    SSLPRUNE_JAX_PAUSE="0",
  )
  calls = (folder / "calls").read_text().splitlines()
  of_slice = [words for words in calls if "queued-resources" in words]
  did = [words.split()[3] for words in of_slice if "describe" not in words]
  return run, calls, did


def test_a_study_that_fails_leaves_the_slice_and_says_so(tmp_path):
  gcloud = _GCLOUD.replace("= 1 ]; then", "= 9 ]; then")
  run, _, did = _run_all(tmp_path, gcloud.replace("status 0", "status 1"))
  assert run.returncode == 1 and did == ["create"]
  assert "is still there, and costs" in run.stderr
  assert "tpu.sh delete --name=" in run.stderr


def test_a_copy_that_fails_starts_nothing(tmp_path):
  gcloud = _GCLOUD.replace(
    "  *is_running*)", "  *scp*) exit 1 ;;\n  *is_running*)"
  )
  run, calls, did = _run_all(tmp_path, gcloud)
  assert run.returncode == 1 and did == ["create"]
  assert not [words for words in calls if "host.sh start" in words]


def test_a_study_that_ended_undone_is_started_again(tmp_path):
  # Its host was restarted: the log ends, and the slice stays.
  gcloud = _GCLOUD.replace("= 1 ]; then", "= 9 ]; then").replace(
    '    echo "exit status 0" ;;',
    '    echo look >> "$FAKE/looks"\n'
    '    if [ "$(wc -l < "$FAKE/looks")" -gt 3 ]; then\n'
    '      echo "exit status 0"\n'
    "    fi ;;",
  )
  run, calls, did = _run_all(tmp_path, gcloud)
  assert run.returncode == 0 and did == ["create", "delete"]
  assert len([words for words in calls if "host.sh start" in words]) == 2


def test_after_a_preemption_the_study_goes_on_with_another_slice(tmp_path):
  run, calls, did = _run_all(tmp_path, _GCLOUD)
  assert run.returncode == 0, run.stderr
  # A network that fails is no reason to delete a slice.
  assert did == ["create", "delete", "create", "delete"]
  started = [words for words in calls if "host.sh start" in words]
  assert len(started) == 2
  assert "'--config.seeds=(0,)'" in started[0]
  assert "report: gs://bucket/run/report.html" in run.stdout


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="no shellcheck")
def test_scripts_pass_shellcheck():
  scripts = sorted(map(str, LAUNCH.glob("*.sh")))
  run = subprocess.run(
    ["shellcheck", "-x", *scripts],
    capture_output=True,
    text=True,
    cwd=LAUNCH.parent,
  )
  assert run.returncode == 0, run.stdout
