"""How much claims deviated in the pilot, and how many seeds that asks for.

Reads the stored numbers of the pilot's figures, docs/paper/figures/*.csv, and
writes docs/paper/pilot.md:

  python benchmarks/pilot_power.py
"""

import csv
import pathlib
import re

from sslprune_jax.report import inference, names, paper
from sslprune_jax.report.paper.runs import MACHINE_PRECISION, FigureRun
from sslprune_jax.report.results import Run
from sslprune_jax.report.verdicts import MARGIN, Verdict

_FOLDER = pathlib.Path(__file__).parent.parent / "docs/paper"
PAGE = _FOLDER / "pilot.md"
_TESTED = {"digits": 359, "fashion_mnist": 10_000}  # images, as the pages say
_HEAD = """# What the pilot says of the seeds that claims take

Written by `python benchmarks/pilot_power.py` from the numbers that are stored
of the pilot, [figures/](figures/) of [digits](digits.md) and
[Fashion-MNIST](fashion_mnist.md): three seeds, by the recipes of then. In
points: the deviation of a claim's difference over seeds; the part of it that
the test images alone would give, were every network wrong on images of its own
(binomial); the rest. Seeds: as many as would tell 2 points from none in {power}
of cases, were the deviation as it was found, at the level of two looks
({level} each, 95 % together).

What the stored lines cannot split: the rest is training draw and fresh weights
together, as a seed draws both. The images' part is a guide, not a bound: two
networks of a seed are wrong on many of the same images, so that their
difference deviates less; so are those of several rounds, so that their mean
deviates more. Which image was right is not stored. A mean average precision is
no share of images: it is not split. Of three seeds a deviation is known to a
factor of 0.5 to 6.3 (95 %), so that the last column is a guide too. It is empty
where no number of each seed is stored.

"""


def main() -> None:
  """Writes the page."""
  PAGE.write_text(write())


def write() -> str:
  """Returns the page."""
  lines = ["| data | figure | claim | deviation | images | rest | seeds |"]
  lines += ["|---|---|---|---|---|---|---|"]
  for dataset in _TESTED:
    for figure, drawn in sorted(paper.FIGURES.items(), key=_order):
      file = _FOLDER / f"figures/{figure}_{dataset}.csv"
      if file.exists():
        title = drawn.title.partition(":")[0]
        for verdict in drawn.draw(_read(file, figure, dataset))[1]:
          cells = [dataset, title, verdict.claim, *_write(verdict)]
          lines.append(f"| {' | '.join(cells)} |")
  head = _HEAD.format(
    power=f"{100 * inference.POWER:g} %", level=f"{100 * inference.LEVEL:.1f} %"
  )
  return head + "\n".join(lines) + "\n"


def _order(figure: tuple) -> int:
  return int(re.search(r"\d+", figure[0])[0])


def _write(verdict: Verdict) -> list[str]:
  """Writes a deviation, its two parts and the seeds it asks for."""
  whole, images = verdict.deviation, verdict.images
  if whole is None:
    return [""] * 4
  parts = ["", ""]
  if images is not None:
    rest = max(0.0, whole**2 - images**2) ** 0.5
    parts = [f"{100 * part:.1f}" for part in (images, rest)]
  return [f"{100 * whole:.1f}", *parts, str(inference.num_seeds(whole, MARGIN))]


def _read(file: pathlib.Path, figure: str, dataset: str) -> FigureRun:
  """Returns the run of a figure as far as its drawn numbers say it."""
  runs: dict[str, Run] = {}
  zero = 0.0
  kept = {}  # Some curves are drawn in two panels.
  for line in csv.DictReader(file.read_text().splitlines()):
    if line.get("exponent"):  # A quarter of a decade from there.
      zero += float(line["share"]) * (float(line["exponent"]) < -7)
    elif line["start"] != "chance" and "verlap" not in line["panel"]:
      variant, fields, config = _place(line, dataset)
      path = pathlib.Path(variant)
      empty = Run(variant, path, config, {}, None, "", {}, [], [], [], [])
      runs.setdefault(variant, empty)
      kept[variant, line["round"], *fields.values()] = line, fields
  for (variant, *_), (line, fields) in kept.items():
    for value in line["values"].split():
      seed, _, number = value.partition(":")
      about = {"seed": int(seed), "value": float(number), "task": variant}
      about |= {"round": int(line["round"]), "n": _TESTED[dataset]}
      about |= {"density": float(line["remaining"]), "density_of_all": 1.0}
      about |= {"learnt": dataset, "split": "test", "model": "", "run": ""}
      runs[variant].rows.append({"metric": "accuracy", **about, **fields})
  dense = {"at_most": {MACHINE_PRECISION: {"count": zero, "threshold": 1.2e-7}}}
  dense |= {"remaining": 1.0, "histogram": {"exponents": [], "below": 0}}
  dense["histogram"]["counts"] = []
  found = {variant: {0: dense} if zero else {} for variant in runs}
  variants = {variant: [run] for variant, run in runs.items()}
  called = names.collect([], variants)
  return FigureRun(figure, (), variants, [], found, called)


def _place(line: dict, dataset: str) -> tuple[str, dict, dict]:
  """Returns the variant of a line, the fields of its stage, its study."""
  config = {"dataset": {"name": dataset}, "prune": {"first_layers": 0}}
  variant, panel = line["series"], line["panel"]
  for protocol, label in names.PROTOCOLS.items():
    if panel.startswith(label):
      title = re.fullmatch(
        rf"{label} on (\w+)(?:, ([\d.]+) % of its labels)?(?:, of (\w+))?",
        panel,
      )
      fields = {"stage": "transfer", "target": title[1], "init": None}
      fields["protocol"] = line["start"] or protocol
      fields["fraction"] = float(title[2] or 100) / 100
      fields["layer"] = title[3] or "features"
      if protocol == "svm":
        fields["metric"] = "mean_average_precision"
      return variant, fields, config
  depth = re.fullmatch(r"First (\d*) ?layers? \((\w+)\)|All layers", panel)
  if depth:
    variant += f"_{depth[2] or 'all'}"
    config["prune"]["first_layers"] = int(depth[1] or 1) if depth[2] else 0
  return variant, {"stage": "retrain", "init": line["start"]}, config


if __name__ == "__main__":
  main()
