"""How a report writes and colours tasks, starts, protocols and metrics.

A run of a task of its own says in its config.json what the task is called: a
report needs nothing else. What no one says is called as it stands.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Mapping

# Runs of the first version do not name their tasks. Colours: Okabe and Ito
# (2008), told apart by colour-blind readers; the markers part them once more,
# for grey prints.
_FIRST = {
  "labels": ("Labels", "#0072B2", "o", "the class"),
  "rotnet": (
    *("RotNet", "#D55E00", "s"),
    "the angle of four that an image was turned by",
  ),
  "exemplar": (
    *("Exemplar", "#009E73", "^"),
    "the view in a batch that is of the same image",
  ),
  "npid": (
    *("NPID", "#CC79A7", "D"),
    "the class that the nearest rows of the memory bank vote for",
  ),
  "s4l": ("S4L RotNet", "#E69F00", "v", "the class"),
  "deepcluster": (
    *("DeepCluster", "#56B4E9", "p"),
    "the cluster that a training image was put into",
  ),
}
# What the paper's figures compare besides tasks, and whose colours they take.
_SERIES = {
  "few_images": ("Labels, few images", "exemplar"),
  "few_classes": ("Labels, few classes", "exemplar"),
  "s4l_few_images": ("S4L, few images", "s4l"),
  "s4l_few_classes": ("S4L, few classes", "s4l"),
  "epochs": ("equal epochs", "labels"),
  "samples": ("equal samples", "rotnet"),
  "updates": ("equal updates", "exemplar"),
  "share": ("equal share", "npid"),
}
# For those that come without: none of a task above.
_COLOURS = (
  *("#882255", "#332288", "#999933", "#117733", "#AA4499", "#44AA99"),
  *("#661100", "#6699CC", "#DDCC77", "#000000"),
)
_MARKERS = "<>hd8H"  # "X" and "P" are those of random masks

TASK_FIELDS = ("label", "colour", "problem")  # that a run may say of a task
INITS = {  # where retraining starts
  "rewind": "winning ticket",
  "reinit": "random re-init",
  "random": "random mask",
  "adjusted": "adjusted random mask",
  "narrow": "narrow network",
}
PRUNED = {  # the start of a curve of a transfer: where its mask comes from
  "finetune": "pruned in pre-training",
  "prune": "pruned in transfer",
}
CHANCE = "chance"  # the start of a curve that no mask is behind
_STARTS = INITS | PRUNED | {CHANCE: "chance"}
PROTOCOLS = {
  "linear": "Linear classifier",
  "svm": "Linear SVMs, the VOC07 protocol",
  "knn": "Vote of the nearest neighbours",
  "finetune": "Fine-tuning",
  "fidelity": "Fidelity",
}
LIKELIHOOD = "log_likelihood"  # Minus the loss, in nats: greater is better.
METRICS = {
  "accuracy": "Accuracy",
  LIKELIHOOD: "Log-likelihood",
  "mean_average_precision": "Mean average precision",
  "cosine": "Cosine to the features of the network it came from",
  "neighbours_kept": "Nearest neighbours kept",
}


@dataclasses.dataclass(frozen=True)
class Name:
  """How a report shows a task, or another series of a figure.

  Attributes:
    label: words of tables and legends.
    colour: colour of its lines, as matplotlib reads it.
    marker: matplotlib's marker of its points.
    problem: what the accuracy of the task itself is of.
  """

  label: str
  colour: str
  marker: str
  problem: str


@dataclasses.dataclass(frozen=True)
class Names:
  """How one report shows its tasks and series: name -> `Name`."""

  known: Mapping[str, Name]

  def label(self, name: str) -> str:
    """Returns the words for a task or a series; unknown: the name itself."""
    return self.known[name].label if name in self.known else name

  def relabel(self, name: str, label: str) -> "Names":
    """Returns the names with other words for one of them."""
    renamed = dataclasses.replace(self.known[name], label=label)
    return Names({**self.known, name: renamed})

  def problem(self, task: str) -> str:
    """Returns what the accuracy of a task is of; unknown: the name itself."""
    return self.known[task].problem if task in self.known else task

  def style(self, name: str | None) -> tuple[str, str]:
    """Returns colour and marker; black stars for what was not collected."""
    known = self.known.get(name)
    return (known.colour, known.marker) if known else ("black", "*")


def collect(
  declared: Iterable[Mapping[str, Mapping[str, str]]] = (),
  present: Iterable[str] = (),
) -> Names:
  """Decides how a report shows its tasks and series.

  Args:
    declared: mappings, one a run, of a task to its "label", "colour" and
      "problem", as far as the run says them; the first that says one decides.
    present: names of all tasks and series of the report.

  Returns:
    The names of those, of the declared, and of the first version's. A colour
    that no one says is one that no other name of the report has, as long as
    there are such.
  """
  said: dict[str, dict[str, str]] = {}
  for tasks in declared:
    for task, row in tasks.items():
      said[task] = dict(row) | said.get(task, {})
  known = {task: Name(*row) for task, row in _FIRST.items()}
  known |= {
    name: dataclasses.replace(known[task], label=label, problem=name)
    for name, (label, task) in _SERIES.items()
  }
  taken = {name.colour for name in known.values()}
  taken |= {row["colour"] for row in said.values() if "colour" in row}
  free = [colour for colour in _COLOURS if colour not in taken] or _COLOURS
  colours, markers = itertools.cycle(free), itertools.cycle(_MARKERS)
  for name in sorted((said.keys() | set(present)) - known.keys()):
    colour = said.get(name, {}).get("colour") or next(colours)
    known[name] = Name(name, colour, next(markers), name)
  for name, row in said.items():
    row = {field: row[field] for field in TASK_FIELDS if field in row}
    known[name] = dataclasses.replace(known[name], **row)
  return Names(known)


def label_start(init: str) -> str:
  """Returns the words for the start of a curve; unknown: as it stands."""
  return _STARTS.get(init, init)


def rank(names: Iterable[str], name: str | None) -> tuple[int, str]:
  """Returns a sort key: the order of `names`, all other names after them."""
  known = list(names)
  return (known.index(name) if name in known else len(known), name or "")


def rank_task(task: str | None) -> tuple[int, str]:
  """Returns a sort key: the first version's tasks, then by name."""
  return rank(_FIRST, task)
