"""The paper's figures on digits, as far as the time allows."""

import functools
import pathlib
import subprocess
import sys

from etils import epath

from sslprune_jax.report.paper import page, runs

ROOT = pathlib.Path(__file__).parent.parent.parent
# The workdirs stay, so that a figure goes on where its time was up.
_RUNS = ROOT / "runs/accelerator_figures"
# Those that took the least time on a CPU come first.
FIGURES = (
  "fig7_rewind", "fig2_when_to_prune", "fig3_masks", "fig8_architectures",
  "fig1_transfer", "fig6_natural_sparsity", "fig5_few_labels", "fig4_depth",
  "fig10_natural_sparsity", "fig9_depth_alexnet",
)  # fmt: skip
_SHORT = (
  "--config.seeds=(0,)", "--config.prune.rounds=3",
  "--config.retrain.rounds=(0,3)", "--config.train.duration=2ep",
  "--config.retrain.train.duration=2ep",
)  # fmt: skip


def items(short):
  """Returns the figures by name; in short form the first."""
  names = FIGURES[:1] if short else FIGURES
  return {name: functools.partial(make, name, short) for name in names}


def make(name, short, seconds):
  """Runs a figure's studies, on from where they were.

  Args:
    name: name of its configuration.
    short: whether in short form.
    seconds: time after which they save what they are at.

  Returns:
    JSON values: what the numbers say of the figure's claims.
  """
  workdir = _RUNS / f"{name}{'_short' if short else ''}"
  process = subprocess.Popen(
    [sys.executable, "-m", "sslprune_jax.main"]
    + [f"--config=configs/paper/{name}.py:digits", f"--workdir={workdir}"]
    + [*(_SHORT if short else ())],
    cwd=ROOT,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )
  try:
    said, _ = process.communicate(timeout=seconds)
  except subprocess.TimeoutExpired:
    process.terminate()
    said, _ = process.communicate()
  if process.returncode:
    raise RuntimeError(f"{name} ended with {process.returncode}: {said[-500:]}")
  if "resume with the same command" in said:
    return {"is_cut": True}
  (run,) = runs.read([epath.Path(workdir)])
  return {"claims": page.tally(page.draw_part(run).verdicts)}
