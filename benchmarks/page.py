"""Writes docs/benchmarks.* and the pictures from what `run.py` found."""

import pathlib

import pictures
from cases import CASES

from sslprune_jax.runtime import files

_DOCS = pathlib.Path(__file__).parent.parent / "docs"
FOUND = _DOCS / "benchmarks.json"
# Largest share of a study, warm, that is not training.
_NOT_TRAINING = {"quickstart": 0.15, "fashion_mnist": 0.1}


def keep(found):
  """Writes the numbers."""
  files.write_json(FOUND, found)


def write(found):
  """Writes the page and the pictures."""
  pictures.ratios(found["cases"], CASES, _DOCS / "benchmarks.png")
  pictures.growth(found["growth"], _DOCS / "growth.png")
  pictures.profiles(found["profiles"], _DOCS / "profile.png")
  (_DOCS / "benchmarks.md").write_text(render(found))


def render(found):
  """Returns the page, in Markdown."""
  about = found["about"]
  versions = ", ".join(
    f"{name} {number}" for name, number in about["versions"].items()
  )
  rows = "\n".join(_row(CASES[name], of) for name, of in found["cases"].items())
  notes = "\n".join(
    f"- {CASES[name].ours_is}, over {CASES[name].peer_is}: {CASES[name].note}"
    for name in found["cases"]
    if CASES[name].note
  )
  growth = "\n".join(
    f"| {part['part']} | {_listed(part['sizes'])} "
    f"| {_listed(part['seconds'])} | {part['exponent']:.2f} "
    f"| {part['exponent_at_the_end']:.2f} |"
    for part in found["growth"]
  )
  studies = " | ".join(
    f"{s['study'].replace('_', ' ')}, {s['seconds']:.0f} s"
    for s in found["profiles"]
  )
  rule = "---|" * len(found["profiles"])
  parts = dict.fromkeys(part for s in found["profiles"] for part in s["shares"])
  profile = "\n".join(
    f"| {part} | "
    + " | ".join(
      f"{100 * s['shares'].get(part, 0):.1f}" for s in found["profiles"]
    )
    + " |"
    for part in parts
  )
  made = f"{about['date']}, {about['machine']}"
  return f"""# Benchmarks

Written by `python benchmarks/run.py --write`: {made}, Python
{about["python"]}, {versions}.

Ours over what a user would pick instead, each in processes of its own with two
threads, by turns on the same input, after what they compute was compared: the
median of the ratios of neighbouring runs, and their quartiles. Less than 1 is
faster. What is held against the target is the clock's time, or the processor's
where it says so. The machine is shared; the load is that after the last run.

| ours | peer | ratio of times | processor | target | | runs | load | commit |
|---|---|---|---|---|---|---|---|---|
{rows}

![Ratios and targets](benchmarks.png)

{notes}

## How time grows

`python benchmarks/growth.py`, commit {found["growth"][0]["commit"]}: medians
of runs by turns; dotted: in proportion. The exponent is the slope of a line
through the logarithms.

| | sizes | seconds | exponent | between the two largest |
|---|---|---|---|---|
{growth}

![Seconds over sizes](growth.png)

## Where the time of a study goes

`python benchmarks/study_profile.py`, commit {found["profiles"][0]["commit"]},
one run of each with an empty compilation cache, and one with what that
compiled (warm): the quickstart, whose trainings take half a second each, and
labels on the 60,000 images of Fashion-MNIST, the dense convnet, 3 rounds and 2
retrainings of an epoch each. Percent of the main thread's time; "training" is
dispatch, and waiting for the device. What is not training is what each costs
once (feed and evaluation; between rounds, tickets and checkpoints), and what a
study does once (decoding its images, starting, tracing): {_rest(found)}.

| | {studies} |
|---|{rule}
{profile}

![Where the time goes](profile.png)
"""


def _rest(found):
  """Returns what is not training, warm, beside its targets."""
  shares = {s["study"]: 1 - s["shares"]["training"] for s in found["profiles"]}
  return ", ".join(
    f"{100 * shares[f'{name}, warm']:.1f} % of {name.replace('_', ' ')}, warm, "
    f"for a target of {100 * target:.0f} %"
    for name, target in _NOT_TRAINING.items()
  )


def _listed(numbers):
  return ", ".join(
    f"{number:,.4g}" if number < 1e4 else f"{number:,}" for number in numbers
  )


def _row(case, found):
  low, high = found["quartiles"]
  is_met = found["ratio"] <= case.target
  cells = [f"{ratio:.2f}" for ratio in found["both"].values()]
  held = [*found["both"]].index(case.time)
  cells[held] += f" ({low:.2f} to {high:.2f})"
  return (
    f"| {case.ours_is} | {case.peer_is} "
    f"| {' | '.join(cells)} "
    f"| {case.target:g} | {'met' if is_met else 'missed'} "
    f"| {found['runs']} | {found['load']:.1f} | {found['commit']} |"
  )
