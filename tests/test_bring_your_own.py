"""configs/checkpoint.py: a file and a folder of images, as a new user has."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import torch_files
from image_files import encode, photo

from sslprune_jax import data, report
from sslprune_jax.config import files as config_files
from sslprune_jax.pruning import tickets
from sslprune_jax.runtime.errors import ConfigError, UserError
from sslprune_jax.study import run, verify

ROOT = pathlib.Path(__file__).parent.parent


def _save_moco(path, width=8):
  state = torch_files.resnet18(width)
  wrapped = {f"module.encoder_q.{k}": v for k, v in state.items()}
  torch_files.save_zip(path, {"state_dict": wrapped, "epoch": 200})


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
  """A checkpoint, and digits in one folder, two thirds of them labelled."""
  root = tmp_path_factory.mktemp("mine")
  _save_moco(root / "moco.pth.tar")
  source = data.load(data.Spec("digits", "train", image_size=32, channels=3))
  rows = ["file,label"]
  (root / "photos").mkdir()
  chosen = [np.flatnonzero(source.labels == k)[:30] for k in (0, 1, 7)]
  for index in np.concatenate(chosen):
    name = f"{index:04d}.png"
    (root / "photos" / name).write_bytes(encode(source.images[index], "PNG"))
    if index % 3:
      rows.append(f"{name},{source.labels[index]}")
  (root / "photos/labels.csv").write_text("\n".join(rows))
  return root


def _config(mine, mode, **transfer):
  config = config_files.load(f"checkpoint:{mine}/moco.pth.tar,{mode}")
  config.dataset.data_dir = str(mine / "photos")
  config.dataset.image_size = 32  # Not 224: this is a test.
  config.train.update(duration="3it", batch_size=16)
  config.transfer.linear.train.update(duration="20ep", batch_size=16)
  config.transfer.random = False
  config.transfer.svm.costs = (1.0,)
  config.transfer.update(transfer)
  return config


def test_at_once_a_first_look_ends_in_sizes_and_qualities(mine, tmp_path):
  config = _config(mine, "one-shot", rounds=(0, 1, 2))
  config.prune.densities = (0.5, 0.1)
  lines = run.run(config, tmp_path)
  assert config.name == "moco_one-shot"
  own = [x for x in lines if x["stage"] == "pretext"]
  assert [x["updates"] for x in own] == [0] * len(own)
  judged = [x for x in lines if x["stage"] == "transfer"]
  assert {x["protocol"] for x in judged} == {"knn", "linear", "svm", "fidelity"}
  # Of labels.csv two thirds have a label; fidelity sees all of them.
  images = {x["protocol"]: x["training_images"] + x["n"] for x in judged}
  labelled = len((mine / "photos/labels.csv").read_text().splitlines()) - 1
  assert images["knn"] == images["svm"] == labelled and images["fidelity"] == 90
  kept = {
    x["round"]: x["value"] for x in judged if x["metric"] == "neighbours_kept"
  }
  assert kept[0] == 1 > kept[1] > 0
  dense = tickets.load(tmp_path / "seed_0/distil/round_00/trained.npz")
  assert dense.meta["config"]["dataset"]["mean"] == [0.485, 0.456, 0.406]
  page, *_ = report.write_report([tmp_path], tmp_path / "report.html")
  assert "moco.pth.tar, smaller</h2>" in page.read_text()
  assert not verify.verify(tmp_path)[0]


def test_without_labels_fidelity_is_left_to_judge_by(mine, tmp_path):
  for path in (mine / "photos").glob("*.png"):
    (tmp_path / path.name).write_bytes(path.read_bytes())
  config = _config(mine, "distil")
  config.dataset.data_dir = str(tmp_path)
  (fitted,) = run.fit(config)[0].values()
  assert fitted.transfer.protocols == ("fidelity:folder",)


@pytest.mark.slow
def test_rounds_with_distil_keep_what_is_judged(mine, tmp_path):
  config = _config(mine, "distil", rounds=(0, 1))
  config.prune.rounds = 1
  lines = run.run(config, tmp_path)
  found = {
    (x.get("protocol"), x["metric"], x["round"]): x["value"] for x in lines
  }
  assert found["fidelity", "cosine", 0] == pytest.approx(1, abs=1e-5)
  assert found["fidelity", "cosine", 1] < 1
  assert found["knn", "accuracy", 1] > 0.4


def test_how_it_is_pruned_stands_behind_a_comma(mine):
  named = mine / "wéird näme.pth"
  named.write_bytes((mine / "moco.pth.tar").read_bytes())
  config = config_files.load(f"checkpoint:{named}, distil")
  assert config.name == "w_ird_n_me_distil" and config.start == str(named)
  with pytest.raises(UserError, match="found .oneshot. behind the file, exp"):
    config_files.load(f"checkpoint:{named},oneshot")


def test_with_labels_the_dense_network_is_trained_too(mine):
  config = config_files.load(f"checkpoint:{mine}/moco.pth.tar,labels")
  assert config.tasks == ("labels",) and config.prune.train_dense
  assert config.prune.rewind == "0it" and config.prune.method == "rounds"
  with pytest.raises(ConfigError, match="config.start: nothing.pth: "):
    run.run(config_files.load("checkpoint:nothing.pth"), "w")


@pytest.mark.slow
def test_the_documented_commands_in_an_empty_folder(tmp_path):
  _save_moco(tmp_path / "moco.pth", width=16)
  for label, name in enumerate(("cat", "dog", "elk")):
    (tmp_path / "photos" / name).mkdir(parents=True)
    for i in range(100):
      content = encode(photo(90, 120, 100 * label + i), "JPEG")
      (tmp_path / "photos" / name / f"{i}.jpg").write_bytes(content)
  config = (ROOT / "configs/checkpoint.py").read_text()
  commands = [
    " ".join(part.split("\n\n")[0].replace("\\\n", " ").split())
    for part in config.split("  python -m ")[1:]
  ]
  assert len(commands) == 2
  # From anywhere, configurations go by their names.
  commands = [
    words.replace("configs/checkpoint.py", "checkpoint") for words in commands
  ]
  short = ["--config.train.duration=1ep", "--config.prune.rounds=1"]
  short.append("--config.transfer.protocols=('fidelity:folder',)")
  for command, more in zip(commands, ([], short), strict=True):
    done = subprocess.run(
      [sys.executable, "-m", *command.split("  python")[0].split(), *more],
      cwd=tmp_path,
      env={**os.environ, "PYTHONPATH": str(ROOT)},
      capture_output=True,
      text=True,
    )
    assert done.returncode == 0, done.stderr
  for name in ("one-shot", "distil"):
    workdir = tmp_path / f"runs/moco_{name}"
    assert "moco.pth, smaller</h2>" in (workdir / "report.html").read_text()
    recorded = json.loads((workdir / "config.json").read_text())
    assert recorded["config"]["dataset"]["image_size"] == 224
