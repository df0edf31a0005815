"""Transfer end to end: studies, tickets alone, what is left unchanged."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import voc
from helpers import bits, die_after, short
from image_files import png

from sslprune_jax import report
from sslprune_jax.pruning import tickets
from sslprune_jax.runtime.trees import digests
from sslprune_jax.study import alone, run

ROOT = pathlib.Path(__file__).parents[2]
PROTOCOLS = (
  "linear:digits:0.2",
  "svm:digits:0.2",
  "knn:digits:0.2",
  "finetune:digits:0.2",
  "prune:digits:0.2",
)


def config(**transfer):
  config = short()
  config.transfer.update(protocols=PROTOCOLS, rounds=(0, 2))
  config.transfer.svm.costs = (0.1, 1.0)
  config.transfer.knn.neighbours = 20
  config.transfer.linear.train.update(batch_size=64, duration="5ep")
  config.transfer.finetune.train.update(
    batch_size=32, duration="12it", milestones=("6it",)
  )
  config.transfer.update(transfer)
  return config


def lines(workdir):
  text = (pathlib.Path(workdir) / "results.jsonl").read_text()
  return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  """A study that was never killed."""
  workdir = tmp_path_factory.mktemp("whole")
  run.run(config(), workdir)
  return workdir


def test_every_network_is_judged_by_every_protocol(whole):
  judged = [line for line in lines(whole) if line["stage"] == "transfer"]
  found = {(r["task"], r["round"], r["protocol"], r["metric"]) for r in judged}
  frozen = {
    ("linear", "accuracy"),
    ("linear", "loss"),
    ("knn", "accuracy"),
    ("svm", "mean_average_precision"),
  }
  trained = {("finetune", "accuracy"), ("finetune", "loss")}
  pruned = {("prune", "accuracy"), ("prune", "loss")}
  assert found == {
    *(("random", 0, *of) for of in frozen | trained),
    *(("rotnet", i, *of) for i in (0, 2) for of in frozen | trained),
    *(("rotnet", i, *of) for i in (0, 1, 2) for of in pruned),
  }
  for line in judged:
    assert abs(line["kept"] - line["prunable"] * 0.8 ** line["round"]) <= 2
    assert line["n"] == 359 and 280 < line["training_images"] < 295
    assert (line["split"], line["crop"], line["layer"]) == (
      "test",
      "whole",
      "features",
    )
    settings = {
      "linear": {"learning_rate", "duration", "augment"},
      "svm": {"costs"},
      "knn": {"neighbours", "temperature"},
      "finetune": {"learning_rate", "duration", "updates"},
      "prune": {"learning_rate", "duration", "updates"},
    }
    assert settings[line["protocol"]] <= set(line)
  (svm,) = (
    r for r in judged if r["protocol"] == "svm" and r["task"] == "random"
  )
  classes = json.loads(
    (
      whole / "seed_0/random/transfer/round_00/svm_digits_0.2/classes.json"
    ).read_text()
  )
  assert svm["costs"] == {name: of["cost"] for name, of in classes.items()}
  mean = np.mean([of["average_precision"] for of in classes.values()])
  assert svm["value"] == pytest.approx(mean)


def test_what_is_finetuned_keeps_its_mask_and_starts_from_what_was_trained(
  whole,
):
  root = whole / "seed_0/rotnet"
  pruned = tickets.load(root / "round_02/trained.npz")
  tuned = tickets.load(
    root / "transfer/round_02/finetune_digits_0.2/trained.npz"
  )
  assert digests(tuned.masks["trunk"]) == digests(pruned.masks["trunk"])
  assert tuned.meta["target"] == "digits"
  # Pruned in transfer: other weights stay, as many, and they are nested.
  first, last = (
    tickets.load(root / f"transfer/round_0{i}/prune_digits_0.2/trained.npz")
    for i in (1, 2)
  )
  kernels = [
    np.concatenate(
      [
        ticket.masks["trunk"][f"stage{i}"]["conv"]["kernel"].ravel()
        for i in range(1, 5)
      ]
    )
    for ticket in (pruned, first, last)
  ]
  assert kernels[0].sum() == kernels[2].sum()
  assert (kernels[0] != kernels[2]).any()
  assert not (kernels[2] & ~kernels[1]).any()


@pytest.mark.slow
def test_killed_and_resumed_ends_in_the_same_bits(whole, tmp_path, monkeypatch):
  # The untrained network's fine-tuning and that of a later round.
  for updates in (8, 4 + 3 * 12 + 8, 12):
    with monkeypatch.context() as patch:
      die_after(updates, patch)
      with pytest.raises(KeyboardInterrupt):
        run.run(config(), tmp_path)
  run.run(config(), tmp_path)
  assert bits(tmp_path) == bits(whole)


def test_alone_as_in_the_study_and_tickets_gather_on_one_page(whole, tmp_path):
  protocols = tuple(of for of in PROTOCOLS if not of.startswith("prune"))
  before = digests(
    tickets.load(whole / "seed_0/rotnet/round_02/trained.npz").variables
  )
  for index in (2, 0):
    path = whole / f"seed_0/rotnet/round_0{index}"
    ticket = path if index else path / "trained.npz"
    alone.run(config(protocols=protocols), [ticket], tmp_path)
  after = tickets.load(whole / "seed_0/rotnet/round_02/trained.npz").variables
  assert digests(after) == before

  def key(row):
    return json.dumps(row, sort_keys=True)

  of_study = [
    row
    for row in lines(whole)
    if row["stage"] == "transfer" and row["protocol"] != "prune"
  ]
  assert sorted(map(key, lines(tmp_path))) == sorted(map(key, of_study))
  page, *files = report.write_report([tmp_path], tmp_path / "report.html")
  names = {file.name for file in files}
  assert "transfer_linear_digits_0.2.png" in names
  assert "Linear classifier on digits, 20 % of its labels" in page.read_text()


def test_layers_and_augmentation_through_a_frozen_trunk(tmp_path):
  settings = config(
    protocols=("linear:digits:0.2",), layers=("stage1", "features"), rounds=(2,)
  )
  settings.transfer.linear.augment = True
  settings.transfer.linear.train.duration = "12it"
  run.run(settings, tmp_path)
  judged = [row for row in lines(tmp_path) if row["stage"] == "transfer"]
  assert {(r["task"], r["layer"]) for r in judged} == {
    (task, layer)
    for task in ("random", "rotnet")
    for layer in ("stage1", "features")
  }
  assert all(row["augment"] for row in judged)
  folder = tmp_path / "seed_0/rotnet/transfer/round_02"
  assert {path.name for path in folder.iterdir()} == {
    "linear_digits_0.2",
    "linear_digits_0.2_stage1",
  }


def test_a_total_as_long_as_pruning_in_transfer_takes(tmp_path):
  settings = config(protocols=("finetune:digits:0.2",), random=False)
  settings.transfer.finetune.epochs = "total"
  settings.transfer.finetune.train.duration = "2ep"
  run.run(settings, tmp_path)
  updates = {
    row["round"]: row["updates"]
    for row in lines(tmp_path)
    if row["stage"] == "transfer"
  }
  assert updates[2] == 3 * updates[0] and updates[0] == 2 * (286 // 32)


_FOUR = """
import sys
import jax
sys.path[:0] = ["tests", "tests/transfer"]
from test_transfer_study import config
from sslprune_jax.study import alone

assert jax.device_count() == 4
settings = config(
  protocols=("linear:digits:0.2", "knn:digits:0.2", "svm:digits:0.2"))
settings.transfer.batch_size = int(sys.argv[3])
alone.run(settings, [sys.argv[1]], sys.argv[2])
"""


@pytest.mark.slow
def test_four_devices_and_another_batch_size_find_the_same(whole, tmp_path):
  subprocess.run(
    [sys.executable, "-c", _FOUR, whole / "seed_0/rotnet/round_02", tmp_path]
    + ["36"],
    check=True,
    cwd=ROOT,
    env={**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=4"},
  )
  expected = {
    (r["task"], r["protocol"], r["metric"]): r["value"]
    for r in lines(whole)
    if r["stage"] == "transfer" and r["round"] in (0, 2)
    if (r["task"], r["round"]) != ("rotnet", 0)
  }
  for row in lines(tmp_path):
    one = expected[row["task"], row["protocol"], row["metric"]]
    np.testing.assert_allclose(row["value"], one, atol=1e-6)


@pytest.mark.slow
def test_voc2007_from_its_xml_to_its_mean_average_precision(
  tmp_path, monkeypatch
):
  voc.prepare(tmp_path / "tfds", tmp_path / "voc", monkeypatch)
  settings = config(
    protocols=("svm:voc2007", "finetune:voc2007"), layers=("stage4",)
  )
  settings.transfer.targets.voc2007.data_dir = str(tmp_path / "tfds")
  settings.transfer.finetune.train.update(
    duration="60it", optimizer="adam", learning_rate=0.01
  )
  settings.dataset.image_size = 24  # Digits, enlarged to VOC-like images.
  settings.model.width = 1.0  # A narrow one is not fine-tuned in 60 updates.
  run.run(settings, tmp_path / "run")
  judged = [
    row for row in lines(tmp_path / "run") if row["stage"] == "transfer"
  ]
  found = {
    (row["task"], row["round"], row["protocol"]): row["value"]
    for row in judged
    if row["metric"] == "mean_average_precision"
  }
  chance = np.mean(
    [
      [voc.label(number)[i] == 1 for number in range(2000, 2060)]
      for i in range(20)
    ]
  )
  assert len(found) == 3 + 3
  for (_, _, protocol), value in found.items():
    assert value > (3 if protocol == "svm" else 2) * chance
  for row in judged:
    assert (row["dataset"], row["split"], row["n"]) == ("voc/2007", "test", 60)
    assert row["training_images"] == 80
    whole = row["protocol"] == "svm"
    assert row["crop"] == ("whole" if whole else "centre")


def test_each_protocol_finds_what_is_plain_to_see(tmp_path):
  rng = np.random.default_rng(0)
  for label, name in enumerate(("dark", "bright", "striped")):
    for split, count in (("train", 40), ("test", 20)):
      folder = tmp_path / "images" / split / name
      folder.mkdir(parents=True)
      for i in range(count):
        pixels = rng.integers(0, 40, (8, 8), np.uint8)
        pixels[:, :: (1 if label == 1 else 2)] += 200 * (label > 0)
        (folder / f"{i}.png").write_bytes(png(pixels))
  settings = config(
    protocols=tuple(
      f"{protocol}:folder"
      for protocol in ("linear", "svm", "knn", "finetune", "prune")
    )
  )
  settings.transfer.targets.folder.data_dir = str(tmp_path / "images")
  settings.transfer.finetune.train.duration = "40it"
  run.run(settings, tmp_path / "run")
  judged = [r for r in lines(tmp_path / "run") if r["stage"] == "transfer"]
  found = {
    (r["task"], r["round"], r["protocol"]): r["value"]
    for r in judged
    if r["metric"] != "loss"
  }
  assert len(found) == 4 + 2 * 4 + 3
  assert min(found.values()) == 1
