"""A package of a user's adds a task, a network and a protocol, from outside."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

_PACKAGE = {
  "my_package/__init__.py": """
from sslprune_jax.config import networks, protocols, tasks
from sslprune_jax.config.rules import Field, whole

tasks.register(
  tasks.TaskRow(
    "halves", "my_package.halves:Halves", "Left or right",
    "which half of the image is brighter", "#7A0177",
    {"hidden": Field(16, "width of the hidden layer of the head", whole(1))},
  )
)
networks.register("plain", "my_package.plain:Plain")
protocols.register(
  "centroids", "my_package.centroids:Centroids", "Nearest class mean",
  reads_layers=True,
)
""",
  "my_package/halves.py": '''
"""Which half of the image is brighter? Answered by a head of two layers."""

import dataclasses

import flax.linen as nn
import jax.numpy as jnp

from sslprune_jax.tasks import Task


@dataclasses.dataclass(frozen=True, kw_only=True)
class Halves(Task):
  num_outputs: int = 2
  hidden: int

  def head(self, num_features):
    del num_features
    return nn.Sequential([nn.Dense(self.hidden), nn.relu, nn.Dense(2)])

  def view(self, keys, batch):
    return self._asked(super().view(keys, batch))

  def evaluation_view(self, batch):
    return self._asked(super().evaluation_view(batch))

  def _asked(self, view):
    left, right = jnp.split(view["image"], 2, axis=2)
    brighter = left.mean((1, 2, 3)) > right.mean((1, 2, 3))
    return {**view, "label": brighter.astype(jnp.int32)}
''',
  "my_package/plain.py": '''
"""Two convolutions without batch norm."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp


class Plain(nn.Module):
  width: float = 1.0
  dtype: Any = jnp.float32
  axis_name: str | None = None
  remat: bool = False

  @nn.compact
  def __call__(self, x, train):
    del train
    x = nn.relu(nn.Conv(8, (3, 3), dtype=self.dtype, name="conv1")(x))
    x = nn.relu(nn.Conv(16, (3, 3), dtype=self.dtype, name="conv2")(x))
    return {"stage1": x, "features": x.astype(jnp.float32).mean((1, 2))}
''',
  "my_package/centroids.py": '''
"""The nearest class mean of frozen features."""

import numpy as np

from sslprune_jax.transfer.base import Probe


class Centroids(Probe):
  def judge(self, train, test, directory, seed):
    rows, labels = train.on_host(), train.labels
    means = [rows[labels == k].mean(0) for k in range(labels.max() + 1)]
    gaps = test.on_host()[:, None] - np.stack(means)[None]
    found = np.square(gaps).sum(-1).argmin(1)
    return {"accuracy": float((found == test.labels).mean())}, {}
''',
  "study.py": """
import my_package
from sslprune_jax import config as config_lib


def get_config():
  config = config_lib.base()
  config.name, config.tasks, config.model.name = "mine", ("halves",), "plain"
  config.prune.update(rounds=1, rewind="2it")
  config.train.update(duration="6it", batch_size=64)
  config.retrain.update(rounds=(1,), inits=("rewind", "random"))
  config.retrain.train.update(duration="4it", batch_size=64)
  config.transfer.update(protocols=("centroids:digits",), rounds=(0, 1))
  return config
""",
  # Of another user, who has the ticket, and no import of my_package.
  "other.py": """
from sslprune_jax import config as config_lib


def get_config():
  config = config_lib.base()
  config.transfer.update(protocols=("knn:digits",), random=False)
  return config
""",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """A folder with the package, its configuration, and the study that it ran."""
  root = tmp_path_factory.mktemp("user")
  for name, content in _PACKAGE.items():
    path = root / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
  run = _run(root, "main", "--config=study.py", "--workdir=run")
  assert run.returncode == 0, run.stderr
  return root


def _run(root, command, *flags):
  package = pathlib.Path(__file__).parent.parent
  return subprocess.run(
    [sys.executable, "-m", f"sslprune_jax.{command}", *flags],
    cwd=root,
    env={**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{package}"},
    capture_output=True,
    text=True,
  )


def _lines(path):
  return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_study_of_theirs_runs_from_the_command_line_to_the_report(folder):
  lines = _lines(folder / "run/results.jsonl")
  found = {(r["task"], r["stage"], r["round"], r["init"]) for r in lines}
  assert found == {
    ("halves", "pretext", 0, None),
    ("halves", "pretext", 1, None),
    ("halves", "retrain", 1, "rewind"),
    ("halves", "retrain", 1, "random"),
    ("halves", "transfer", 0, None),
    ("halves", "transfer", 1, None),
    ("random", "transfer", 0, None),
  }
  (rate,) = {r["density"] for r in lines if r["round"] == 1}
  assert rate == pytest.approx(0.8, abs=1e-3)  # Of both kernels, no head.
  page = (folder / "run/report.html").read_text()
  for words in (
    "Left or right",
    "which half of the image is brighter",
    "Nearest class mean",
  ):
    assert words in page
  assert "#7A0177" in (folder / "run/config.json").read_text()


def test_what_was_made_with_a_plug_in_says_so(folder):
  kept = json.loads((folder / "run/config.json").read_text())
  assert sorted(kept["plugins"]) == [
    "network plain", "protocol centroids", "task halves"
  ]  # fmt: skip
  digest = kept["plugins"]["task halves"]["sha256"]
  source = folder / "my_package/halves.py"
  try:
    source.write_text(source.read_text() + "# changed\n")
    run = _run(folder, "main", "--config=study.py", "--workdir=run")
  finally:
    source.write_text(_PACKAGE["my_package/halves.py"])
  assert run.returncode == 1
  assert f"plugins.task halves.sha256: '{digest}' there" in run.stderr
  assert "Traceback" not in run.stderr


def test_a_ticket_of_theirs_imports_nothing_but_what_it_is_told_to(folder):
  flags = ("--config=other.py", "--ticket=run/seed_0/halves/round_01")
  run = _run(folder, "transfer", *flags, "--workdir=refused")
  assert run.returncode == 1
  assert "network 'plain' comes from my_package.plain: pass" in run.stderr
  assert run.stderr.count("\n") == 1 and not (folder / "refused").exists()
  flags += ("--plugins=my_package.plain",)
  run = _run(folder, "transfer", *flags, "--workdir=judged")
  assert run.returncode == 0, run.stderr
  (line,) = _lines(folder / "judged/results.jsonl")
  assert (line["task"], line["protocol"]) == ("halves", "knn")


def test_a_name_that_nobody_registered_is_refused_in_one_line(folder):
  run = _run(
    folder,
    "main",
    "--config=study.py",
    "--workdir=none",
    "--config.tasks=('jigsaw',)",
  )
  assert run.returncode == 1
  assert "config.tasks: found ('jigsaw',), expected distinct" in run.stderr
  assert run.stderr.count("\n") == 1 and not (folder / "none").exists()
