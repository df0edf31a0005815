"""Made-up runs of the paper's figures, as large as they are configured.

Started by itself it writes docs/paper/claims.md: what such runs are judged on.
"""

import importlib.util
import pathlib
import zlib

from sslprune_jax.config import variants
from sslprune_jax.config.figures import LOOKS
from sslprune_jax.report import names, paper
from sslprune_jax.report.paper.runs import MACHINE_PRECISION, FigureRun
from sslprune_jax.report.results import Run

ROOT = pathlib.Path(__file__).parents[2]
CONFIGS = ROOT / "configs/paper"
CLAIMS = ROOT / "docs/paper/claims.md"
_HEAD = """# The claims

What is judged of the paper's statements, fixed before the runs:
{counts}. A claim does not come or go with what is
measured: one that has no ground, as a network did not learn, is shown as not
judged. Of which seeds, and of how many, [figures.md](../figures.md) says.
Written by `python tests/report/made_up.py` from runs that are made up, as large
as `configs/paper/` has them.

| data | figure | claim |
|---|---|---|
"""


def studies(figure, dataset):
  """Returns the configured studies of a figure, by variant."""
  file = CONFIGS / f"{figure}.py"
  spec = importlib.util.spec_from_file_location(figure, file)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return variants.expand(module.get_config(dataset))


def figure_run(figure, dataset, level, seeds=(0, 1, 2), zero=0.7):
  """Returns a whole run of a figure.

  Args:
    figure: its name.
    dataset: data set that it is configured for.
    level: function of variant, start (an init, or a protocol) and round that
      gives the mean accuracy. A seed adds -0.001, 0 or 0.001, a curve of its
      own each, so that three seeds have the mean exactly.
    seeds: its seeds.
    zero: share of the dense weights that are zero.
  """
  runs, magnitudes = {}, {}
  for variant, study in studies(figure, dataset).items():
    rows = [
      _row(study, variant, seed, *where, level)
      for where in _places(study)
      for seed in seeds
    ]
    at_most = {"count": 1000 * zero, "threshold": 1.2e-7}
    found = {"at_most": {MACHINE_PRECISION: at_most}}
    found |= {"remaining": 1000, "histogram": _HISTOGRAM}
    magnitudes[variant] = dict.fromkeys(seeds, found)
    config = study.to_dict()
    path = pathlib.Path(variant)
    runs[variant] = [
      Run(variant, path, config, {}, "", "", {}, rows, [], [], [])
    ]
  called = names.collect([], runs)
  return FigureRun(figure, (), runs, [], magnitudes, called)


def judge(*where, **how):
  """Returns the verdicts on a made-up run, as `figure_run` takes it."""
  run = figure_run(*where, **how)
  return paper.FIGURES[run.name].draw(run)[1]


def write_claims():
  """Returns the page of all claims on the small sets."""
  lines, counts = [], []
  for dataset in LOOKS:
    before = len(lines)
    for figure in sorted(paper.FIGURES, key=lambda f: int(f[3:5].strip("_"))):
      title = paper.FIGURES[figure].title.partition(":")[0]
      found = judge(figure, dataset, level=lambda *_: 0.9)
      lines += [f"| {dataset} | {title} | {v.claim} |\n" for v in found]
    counts.append(f"{len(lines) - before} on {dataset}")
  return _HEAD.format(counts=", ".join(counts)) + "".join(lines)


_HISTOGRAM = {"exponents": [-8, -7], "below": 0, "counts": [1]}


def _places(study):
  """Yields stage, start, round and the fields of a stage's own."""
  for index in study.retrain.rounds:
    for init in study.retrain.inits:
      yield "retrain", init, index, {}
  for protocol in study.transfer.protocols:
    name, target, fraction = (*protocol.split(":"), "1")[:3]
    own = {"protocol": name, "target": target, "fraction": float(fraction)}
    last = max(study.transfer.rounds, default=-1)
    meanwhile = name == "prune"  # All rounds up to the last.
    for index in range(last + 1) if meanwhile else study.transfer.rounds:
      yield "transfer", name, index, {**own, "layer": "features"}


def _row(study, variant, seed, stage, start, index, own, level):
  curve = zlib.crc32(f"{variant} {start} {index}".encode())
  noise = 0.001 * ((seed * (1 + curve % 2) + curve // 2) % 3 - 1)
  return {
    "seed": seed,
    "task": study.tasks[0],
    "learnt": study.dataset.name,
    "split": "test",
    "model": study.model.name,
    "stage": stage,
    "round": index,
    "init": start if stage == "retrain" else None,
    "metric": "accuracy",
    "value": level(variant, start, index) + noise,
    "n": 400,
    "training_images": 100,
    "rewind_update": 10,
    "density": (1 - study.prune.rate) ** index,
    "density_of_all": 0.5,
    **own,
  }


if __name__ == "__main__":
  CLAIMS.write_text(write_claims())
