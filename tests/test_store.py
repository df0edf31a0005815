"""The store of results: what is finished is kept, joined, and never changed."""

import json
import shutil

import pytest
from helpers import without_updates

from sslprune_jax.config import files as config_files
from sslprune_jax.report import paper
from sslprune_jax.report.paper import runs as runs_lib
from sslprune_jax.runtime import digests
from sslprune_jax.runtime.errors import ConfigError
from sslprune_jax.study import run, store


def _config(seeds):
  config = config_files.load("paper/fig3_masks:digits_half")
  with config.unlocked():
    del config.variants["exemplar"]
  config.seeds, config.prune.rounds, config.model.width = seeds, 1, 0.25
  config.retrain.rounds = (0, 1)
  return config


@pytest.fixture(scope="module")
def there(tmp_path_factory):
  """A workdir of two finished seeds, and a store that they are kept in."""
  folder = tmp_path_factory.mktemp("store")
  with pytest.MonkeyPatch.context() as patch:
    without_updates(patch)
    run.run(_config((3, 4)), folder / "run")
  shutil.rmtree(folder / "run/rotnet/seed_4/rotnet/retrain/round_01/reinit")
  kept = store.keep(folder / "run", folder / "kept")
  return folder, kept


def test_lines_of_finished_seeds_alone_are_kept_and_a_report_reads_them(there):
  folder, kept = there
  assert kept == [folder / "kept/digits_half/fig3_masks/seed_3"]
  (found,) = runs_lib.read(kept)
  (whole,) = runs_lib.read([folder / "run"])
  assert found.seeds == [3] and list(found.variants) == ["labels", "rotnet"]
  own = whole.only([3])
  for name, (one,) in found.variants.items():
    assert one.config["seeds"] == [3]
    assert one.machine and one.commit == own.variants[name][0].commit
    (other,) = own.variants[name]
    assert [{**row, "run": ""} for row in one.rows] == [
      {**row, "run": ""} for row in other.rows
    ]
  assert found.overlaps and found.overlaps == own.overlaps
  assert found.magnitudes == own.magnitudes
  judged = paper.FIGURES["fig3_masks"].draw(found)[1]
  assert [v.claim for v in judged] == [
    v.claim for v in paper.FIGURES["fig3_masks"].draw(own)[1]
  ]


def _changed(folder, name, **fields):
  """Writes a kept seed once more, as another one and of another study."""
  other = folder.parent / f"{name}/seed_9"
  shutil.copytree(folder, other)
  for variant in ("", "labels", "rotnet"):
    file = other / variant / "config.json"
    about = json.loads(file.read_text()) | (fields if variant else {})
    file.write_text(json.dumps(digests.stamp(about)))
    lines = file.with_name("results.jsonl")
    if lines.exists():
      lines.write_text(lines.read_text().replace('"seed": 3', '"seed": 9'))
  return other


def test_seeds_of_any_commit_and_machine_are_joined_and_these_are_shown(there):
  _, (kept,) = there
  other = _changed(kept, "machine", machine="4 x TPU v5e", commit="f00")
  (found,) = runs_lib.read([kept, other])
  assert found.seeds == [3, 9] and not found.left_out
  machines = {one.machine for one in found.variants["labels"]}
  assert len(machines) == 2 and "4 x TPU v5e" in machines


@pytest.mark.parametrize(
  "field, value, words",
  [
    ("numerics", 1, "labels: numerics: 2 there, 1 now"),
    ("config", 0.3, "labels: config.prune.rate: 0.2 there, 0.3 now"),
    ("plugins", {"mine": "1"}, "labels: plugins.mine: None there, '1' now"),
  ],
)
def test_what_is_of_another_study_is_left_out_and_said(
  there, field, value, words
):
  _, (kept,) = there
  if field == "config":
    about = json.loads((kept / "labels/config.json").read_text())
    about["config"]["prune"]["rate"], value = value, about["config"]
  other = _changed(kept, f"other_{field}", **{field: value})
  (found,) = runs_lib.read([kept, other])
  assert found.seeds == [3]
  assert found.left_out == [f"{other}: of another study than {kept}: {words}"]


def test_what_is_kept_is_kept_once_and_never_other_than_it_was(there):
  folder, (kept,) = there
  before = {p: p.read_bytes() for p in kept.rglob("*") if p.is_file()}
  assert store.keep(folder / "run", folder / "kept") == [kept]
  assert {p: p.read_bytes() for p in kept.rglob("*") if p.is_file()} == before
  again = shutil.copytree(folder / "kept", folder / "again")
  file = again / "digits_half/fig3_masks/seed_3/rotnet/results.jsonl"
  file.write_text(file.read_text().replace("0.5", "0.6", 1))
  with pytest.raises(
    store.StoreError, match="results.jsonl: found other lines"
  ):
    store.keep(folder / "run", again)


def test_a_seed_is_the_same_before_the_others_are_done(there, tmp_path):
  folder, (kept,) = there
  going_on = shutil.copytree(folder / "run", tmp_path / "run")
  (going_on / "overlaps.jsonl").unlink()  # It is written at the end.
  (found,) = store.keep(going_on, tmp_path / "kept")
  for path in kept.rglob("*.json*"):
    assert (found / path.relative_to(kept)).read_bytes() == path.read_bytes()


def test_a_plain_study_is_no_figure(there):
  folder, _ = there
  with pytest.raises(store.StoreError, match="expected a figure's"):
    store.keep(folder / "run/labels", folder / "kept")
  with pytest.raises(ConfigError, match="cannot be read"):
    store.keep(folder / "nothing", folder / "kept")


def test_a_seed_whose_copy_was_cut_off_is_kept_anew(there):
  folder, (kept,) = there
  part = folder / "part/digits_half/fig3_masks/seed_3"
  shutil.copytree(kept, part)
  (part / "config.json").unlink()  # Written last.
  (part / "labels/results.jsonl").write_text("")
  assert store.keep(folder / "run", folder / "part") == [part]
  name = "labels/results.jsonl"
  assert (part / name).read_bytes() == (kept / name).read_bytes()
