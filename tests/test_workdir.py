"""Names on disk: paths, and the fields of a result line."""

import dataclasses
import pathlib

import pytest
from etils import epath

from sslprune_jax import workdir
from sslprune_jax.workdir import Stage, TransferStage


def test_stages_lie_where_they_always_lay():
  stage = Stage(0, "rotnet", 5)
  assert stage.path == "seed_0/rotnet/round_05"
  retrained = dataclasses.replace(stage, init="rewind")
  assert retrained.path == "seed_0/rotnet/retrain/round_05/rewind"
  judged = TransferStage(0, "rotnet", 5, "linear", "voc", 0.1, "stage3")
  assert judged.path == "seed_0/rotnet/transfer/round_05/linear_voc_0.1_stage3"


def test_rounds_are_found_and_read_back(tmp_path):
  stages = [Stage(s, "npid", r) for s in (0, 11) for r in (0, 3, 120)]
  stages = [*stages, Stage(0, "npid", 3, "rewind")]
  for stage in stages:
    (tmp_path / stage.path).mkdir(parents=True)
  found = [
    workdir.parse_round(str(path))
    for path in pathlib.Path(tmp_path).glob(workdir.EVERY_ROUND)
  ]
  assert sorted(found, key=lambda s: s.path) == sorted(
    stages[:-1], key=lambda s: s.path
  )
  # A copy that a user made is none.
  (tmp_path / "seed_0/npid/round_03.bak").mkdir()
  (tmp_path / "seed_0/npid/retrain/round_03.bak/rewind").mkdir(parents=True)
  assert len(workdir.round_folders(epath.Path(tmp_path))) == len(found)
  assert len(workdir.stage_folders(epath.Path(tmp_path))) == len(stages)
  with pytest.raises(ValueError, match="path: found 'seed_x/npid/round_00'"):
    workdir.parse_round("seed_x/npid/round_00")


def test_every_stage_says_what_its_results_are_told_apart_by():
  for stage, fields in workdir.FIELDS.items():
    known = {*workdir.EVERY_STAGE, *fields, "init", "model"}
    needed = set(workdir.CELL)
    if stage != workdir.TRANSFER:
      needed -= {"protocol", "target", "fraction", "layer"}
    assert needed <= known
