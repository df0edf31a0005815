"""Tasks by name: a row is all that a task needs outside of its own module.

Its fields are a section of the configuration; validation, the listing of
fields, and what the report calls and draws a task as follow from the row.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from sslprune_jax.config.registry import Registry
from sslprune_jax.config.rules import (
  BELOW_ONE,
  DTYPE,
  FINITE,
  NAMES,
  SHARE,
  TEMPERATURE,
  Field,
  one_of,
  whole,
)

MININGS = ("semi-hard", "batch-hard")  # of Exemplar
_TASKS = "sslprune_jax.tasks"
_WIDTH = Field(128, "width of the embedding", whole(1), "numbers")


@dataclasses.dataclass(frozen=True)
class TaskRow:
  """A task.

  Attributes:
    name: name in the configuration, and in the workdir.
    target: "module:Class" of a `tasks.Task`.
    label: its name on the page.
    problem: what its own accuracy is of, on the page.
    colour: colour of its curves, as Matplotlib and CSS read it.
    fields: fields of the section of the configuration that has its name.
    reads_labels: whether it is trained on labels, those that `config.labels`
      leaves.
    keeps_unlabelled: whether images without a label are trained on too; where
      only some labels are seen, the others are hidden rather than left out.
    learns_from_start: whether it learns from the network of `config.start`.
    answers_by_state: whether its answers are read off what a training carries
      along beside the weights, such as a memory bank.
  """

  name: str
  target: str
  label: str
  problem: str
  colour: str
  fields: Mapping[str, Field] = dataclasses.field(default_factory=dict)
  reads_labels: bool = False
  keeps_unlabelled: bool = True
  answers_by_state: bool = False
  learns_from_start: bool = False


# Colours: Okabe and Ito (2008), then Tol (2021): told apart by colour-blind
# readers.
TASKS: Registry[TaskRow] = Registry(
  "task",
  (
    TaskRow(
      "labels",
      f"{_TASKS}.labels:Labels",
      "Labels",
      "the class",
      "#0072B2",
      {
        "images": Field(1.0, "share of each class that is labelled", SHARE),
        "classes": Field(1.0, "share of the classes that are labelled", SHARE),
      },
      reads_labels=True,
      keeps_unlabelled=False,
    ),
    TaskRow(
      "rotnet",
      f"{_TASKS}.rotnet:RotNet",
      "RotNet",
      "the angle of four that an image was turned by",
      "#D55E00",
      {
        "copies": Field(
          1, "angles an image: 1 at random, or all 4", one_of((1, 4))
        )
      },
    ),
    TaskRow(
      "exemplar",
      f"{_TASKS}.exemplar:Exemplar",
      "Exemplar",
      "the view in a batch that is of the same image",
      "#009E73",
      {
        "views": Field(2, "views of each image in a batch", whole(2, 8)),
        "embedding": _WIDTH,
        "margin": Field(0.5, "margin of the cosine distance", FINITE),
        "mining": Field(
          "semi-hard",
          "which negative of a triplet is taken",
          one_of(MININGS),
        ),
      },
    ),
    TaskRow(
      "npid",
      f"{_TASKS}.npid:NPID",
      "NPID",
      "the class that the nearest rows of the memory bank vote for",
      "#CC79A7",
      {
        "embedding": _WIDTH,
        "temperature": Field(
          0.07, "temperature of the softmax over similarities", TEMPERATURE
        ),
        "momentum": Field(
          0.5, "share of the old row of the bank in the new one", BELOW_ONE
        ),
        "objective": Field(
          "nce",
          "noise-contrastive, or a softmax over the whole bank",
          one_of(("nce", "softmax")),
        ),
        "negatives": Field(
          16384, "rows of noise that nce draws an update", whole(1), "rows"
        ),
        "normaliser": Field(
          "ema",
          "Z of nce: a moving average, or that of the first batch",
          one_of(("ema", "first")),
        ),
        "neighbours": Field(
          200, "rows of the bank that vote on a test image", whole(1), "rows"
        ),
      },
      answers_by_state=True,
    ),
    TaskRow(
      "s4l",
      f"{_TASKS}.s4l:S4L",
      "S4L RotNet",
      "the class",
      "#E69F00",
      {
        "rotation_weight": Field(
          1.0, "weight of the rotation loss beside that of labels", FINITE
        )
      },
      reads_labels=True,
    ),
    TaskRow(
      "deepcluster",
      f"{_TASKS}.deepcluster:DeepCluster",
      "DeepCluster",
      "the cluster that a training image was put into",
      "#56B4E9",
      {
        "clusters": Field(10000, "clusters of k-means", whole(1), "clusters"),
        "components": Field(
          256, "directions of the PCA before k-means", whole(1), "directions"
        ),
        "iterations": Field(
          20, "iterations of k-means", whole(1), "iterations"
        ),
        "start": Field(
          "random",
          "start of k-means: random points, or k-means++",
          one_of(("random", "k-means++")),
        ),
        "distances": Field("float32", "dtype in which k-means compares", DTYPE),
      },
      answers_by_state=True,
    ),
    TaskRow(
      "distil",
      f"{_TASKS}.distil:Distil",
      "Distil",
      "the features that the network of config.start gives",
      "#882255",
      {
        "layers": Field(
          ("features",),
          "layers of the network of config.start that are learnt: features, "
          "stage3, ...",
          NAMES,
        )
      },
      learns_from_start=True,
    ),
  ),
)


def register(row: TaskRow) -> TaskRow:
  """Adds a task of a user's.

  Call it in a module that a configuration file imports above `base()`, which
  gives the task its section.

  Raises:
    ConfigError: the name is taken.
  """
  return TASKS.register(row)


def default(task: str, field: str) -> Any:
  """Returns the default of a field of a task's section."""
  return TASKS[task].fields[field].default


def check(task: str, settings: Any) -> None:
  """Refuses settings that the fields of a task do not allow.

  Args:
    task: name of the task.
    settings: object whose attributes have the names of the fields.

  Raises:
    ConfigError: names the field, what was found and what was expected.
  """
  for name, field in TASKS[task].fields.items():
    if hasattr(settings, name):
      field.rule.check(f"{task}.{name}", getattr(settings, name))
