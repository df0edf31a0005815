"""What makes a study another one, and what lets it grow."""

import json
import re
import subprocess

import pytest
from etils import epath
from helpers import short
from image_files import encode, photo

from sslprune_jax import config as config_lib
from sslprune_jax import data
from sslprune_jax.config import variants
from sslprune_jax.data import folder
from sslprune_jax.runtime import digests, locks, processes
from sslprune_jax.runtime.errors import ConfigError
from sslprune_jax.study import (
  identity,
  listings,
  made_by,
  overlaps,
  provenance,
  stages,
)


def _kept(workdir):
  return json.loads((workdir / "config.json").read_text())


def _changed(workdir, **fields):
  path = workdir / "config.json"
  path.write_text(json.dumps(digests.stamp({**_kept(workdir), **fields})))


def test_fields_that_change_no_bit_may_change(tmp_path):
  provenance.record(short(), tmp_path)
  config = short()
  config.dataset.workers = 3
  config.log.update(every="1it", checkpoint="2it", evaluate="3it")
  config.profile = 1
  provenance.record(config, tmp_path)


@pytest.mark.parametrize(
  "field, value, line",
  [
    ("prune.rate", 0.5, "config.prune.rate: 0.2 there, 0.5 now"),
    ("train.batch_size", 32, "config.train.batch_size: 64 there, 32 now"),
    ("tasks", ("labels",), "config.tasks: .* there, "),
    ("retrain.inits", (), "config.retrain.inits: "),
    ("dataset.std", (0.5,), "config.dataset.std: "),
  ],
)
def test_all_else_makes_it_another_study(field, value, line, tmp_path):
  provenance.record(short(), tmp_path)
  before = _kept(tmp_path)
  config = identity.with_values(short(), {field: value})
  with pytest.raises(ConfigError, match=line):
    provenance.record(config, tmp_path)
  assert _kept(tmp_path) == before


def test_photos_that_were_added_make_it_another_study(tmp_path):
  photos = tmp_path / "photos"
  photos.mkdir()
  for i in range(10):
    content = encode(photo(40, 40, i), "JPEG")
    (photos / f"{i}.jpg").write_bytes(content)

  def config():
    data.load.cache_clear()
    folder._read.cache_clear()
    found = short()
    found.dataset.update(config_lib.dataset("folder"))
    found.dataset.update(data_dir=str(photos), image_size=32)
    return found

  workdir = tmp_path / "run"

  def record():
    provenance.record(config(), workdir, images=listings.describe(config()))

  record()
  record()
  assert _kept(workdir)["images"]["number"] == 10
  (photos / "more.jpg").write_bytes(content)
  with pytest.raises(ConfigError, match="data_dir.number: 10 there, 11 now"):
    record()
  (photos / "more.jpg").rename(photos / "9.jpg")
  record()
  (photos / "9.jpg").write_bytes(content + b"\0")  # Another of its name.
  with pytest.raises(ConfigError, match="data_dir.sha256: .* there, .* now"):
    record()
  (photos / "9.jpg").write_bytes(content)
  kept = _kept(workdir)  # Of before there was such a field.
  del kept["images"]
  (workdir / "config.json").write_text(json.dumps(digests.stamp(kept)))
  record()


def _photos(place, number):
  place.mkdir()
  for i in range(number):
    of = place / f"{'ab'[i % 2]}/{i}.jpg"
    of.parent.mkdir(exist_ok=True)
    of.write_bytes(encode(photo(40, 40, i), "JPEG"))


def test_photos_may_move_and_may_not_change(tmp_path):
  """Those of the study, and those that its networks are judged on."""

  def record(own, others):
    data.load.cache_clear()
    folder._read.cache_clear()
    config = short()
    config.dataset.update(config_lib.dataset("folder"))
    config.dataset.update(data_dir=str(own), image_size=32)
    config.transfer.protocols = ("knn:folder",)
    config.transfer.targets.folder.data_dir = str(others)
    provenance.record(
      config,
      tmp_path / "run",
      images=listings.describe(config),
      targets=listings.describe_targets(config),
    )

  own, others = tmp_path / "own", tmp_path / "others"
  _photos(own, 10)
  _photos(others, 12)
  record(own, others)
  assert _kept(tmp_path / "run")["targets"]["folder"]["number"] == 12
  own.rename(tmp_path / "moved")
  others.rename(tmp_path / "away")
  record(tmp_path / "moved", tmp_path / "away")
  (tmp_path / "away/a/0.jpg").unlink()
  with pytest.raises(ConfigError, match="targets.folder.number: 12 there, 11"):
    record(tmp_path / "moved", tmp_path / "away")
  with pytest.raises(ConfigError, match="images of data_dir.number: 10 there"):
    record(tmp_path / "away", tmp_path / "moved")


def test_protocols_of_plug_ins_may_be_added_and_no_other_plug_in():
  row = {"target": "mine.a:b", "sha256": "0"}
  config = {"config": config_lib.resolve(short())}

  def between(there, now):
    return identity.conflicts(
      config | {"plugins": there}, config | {"plugins": now}
    )

  judge = {"protocol mine": row}
  assert between({}, judge) == between(judge, {}) == []
  (line,) = between(judge, {"protocol mine": row | {"sha256": "1"}})
  assert line == "plugins.protocol mine.sha256: '0' there, '1' now"
  assert between({}, {"network mine": row})


def test_a_plug_in_that_a_workdir_was_asked_for_is_named(tmp_path):
  provenance.record(short(), tmp_path)
  _changed(tmp_path, plugins={"protocol mine": {"target": "my_package.a:b"}})
  with pytest.raises(ConfigError, match="pass --plugins=my_package.a"):
    provenance.record(short(), tmp_path)


def test_hosts_that_see_other_images_are_refused(monkeypatch):
  mine = {"a": {"images": {"number": 10, "sha256": "0"}}}
  other = {"a": {"images": {"number": 9, "sha256": "1"}}}
  provenance.agree_on(mine)  # One process.
  monkeypatch.setattr(processes, "count", lambda: 2)
  monkeypatch.setattr(processes, "from_all", lambda found: [found, other])
  with pytest.raises(
    processes.ProcessError,
    match="a.images.number: 10 in process 0, 9 in 1; expected the same in all",
  ):
    provenance.agree_on(mine)


def test_a_workdir_keeps_the_union_of_what_it_was_asked_for(tmp_path):
  first, second = short(), short()
  first.seeds, second.seeds = (3, 0), (1, 3)
  first.retrain.rounds, second.retrain.rounds = (2,), (0, 1)
  second.prune.rounds = 1
  second.transfer.protocols = ("knn:digits",)
  assert provenance.record(first, tmp_path).seeds == (3, 0)
  grown = provenance.record(second, tmp_path)
  assert grown.seeds == (3, 0, 1)
  assert grown.retrain.rounds == (0, 1, 2)
  assert grown.prune.rounds == 2
  assert grown.transfer.protocols == ("knn:digits",)
  assert _kept(tmp_path)["config"] == config_lib.resolve(grown)
  assert provenance.record(first, tmp_path) == grown


def test_variants_grow_and_differ_by_the_fields_of_a_study(tmp_path):
  def whole(seeds, rate):
    config = short()
    study = config.copy_and_resolve_references()
    study.seeds, study.prune.rate = seeds, rate
    variants.add(config, "mine", study)
    return config

  provenance.record(whole((1,), 0.5), tmp_path)
  grown = provenance.record(whole((2,), 0.5), tmp_path)
  assert grown.variants.mine.seeds == (1, 2)
  with pytest.raises(ConfigError, match="variants.mine.prune.rate: 0.5 there"):
    provenance.record(whole((1,), 0.3), tmp_path)


def test_a_field_that_came_later_has_the_value_that_reproduces_what_ran(
  tmp_path, monkeypatch
):
  provenance.record(short(), tmp_path)
  values = _kept(tmp_path)["config"]
  del values["prune"]["scope"], values["npid"]
  _changed(tmp_path, config=values)
  provenance.record(short(), tmp_path)
  # As if the default had been another one before the field could be set.
  rows = config_lib.every_field()
  rows["prune.scope"] = config_lib.Field("layer", "", before="global")
  monkeypatch.setattr(identity, "every_field", lambda: rows)
  _changed(tmp_path, config=values)
  provenance.record(short(), tmp_path)
  config = identity.with_values(short(), {"prune.scope": "layer"})
  with pytest.raises(ConfigError, match="scope: 'global' there, 'layer' now"):
    provenance.record(config, tmp_path)


def test_other_numerics_stop_unless_they_are_accepted(tmp_path, monkeypatch):
  provenance.record(short(), tmp_path)
  there = _kept(tmp_path)["numerics"]
  assert there == provenance.NUMERICS
  monkeypatch.setattr(provenance, "NUMERICS", 7)
  with pytest.raises(
    ConfigError, match=f"found numerics {there}, expected 7: .*--acc"
  ):
    provenance.record(short(), tmp_path)
  provenance.record(short(), tmp_path, accept_numerics=True)
  kept = _kept(tmp_path)
  assert (kept["numerics"], kept["accepted_numerics"]) == (7, [there])
  provenance.record(short(), tmp_path)  # Asked once.


def test_a_workdir_of_the_first_version_has_numerics_0(tmp_path, monkeypatch):
  provenance.record(short(), tmp_path)
  kept = _kept(tmp_path)
  for name in ("numerics", "code", "plugins", "tasks"):
    del kept[name]
  (tmp_path / "config.json").write_text(json.dumps(digests.stamp(kept)))
  monkeypatch.setattr(provenance, "NUMERICS", 0)
  provenance.record(short(), tmp_path)
  monkeypatch.setattr(provenance, "NUMERICS", 1)
  with pytest.raises(ConfigError, match="found numerics 0, expected 1"):
    provenance.record(short(), tmp_path)


def test_other_code_is_one_warning_that_names_the_files(tmp_path, caplog):
  provenance.record(short(), tmp_path)
  code = _kept(tmp_path)["code"]
  assert {"main.py", "training/step.py", "runtime/rng.py"} <= code.keys()
  del code["main.py"]
  code["training/step.py"] = "0" * 64
  _changed(tmp_path, code=code)
  provenance.record(short(), tmp_path)
  (line,) = [r.getMessage() for r in caplog.records]
  assert line.endswith("main.py, training/step.py")


def test_what_xla_was_told_is_compared(tmp_path, monkeypatch, caplog):
  monkeypatch.setenv("XLA_FLAGS", "--one")
  provenance.record(short(), tmp_path)
  provenance.record(short(), tmp_path)
  assert not caplog.records
  monkeypatch.setenv("XLA_FLAGS", "--other")
  provenance.record(short(), tmp_path)
  (line,) = [r.getMessage() for r in caplog.records]
  assert "xla_flags: '--one' there, '--other' now" in line


def test_masks_of_weights_and_of_channels_share_nothing_to_compare():
  configs = {name: short() for name in ("weights", "weights_too", "channels")}
  for name, config in configs.items():
    config.retrain.rounds = (1,)
    config.prune.structure = name.partition("_")[0]
  pairs = {(a[0], b[0]) for *_, a, b in overlaps._pairs(configs)}
  assert pairs == {("weights", "weights_too")}


def test_the_commit_is_that_of_our_checkout_alone(tmp_path, monkeypatch):
  # Installed in the environment of somebody's project, which git ignores.
  installed = tmp_path / ".venv/sslprune_jax"
  installed.mkdir(parents=True)
  (installed / "__init__.py").write_text("")
  (tmp_path / ".gitignore").write_text(".venv\n")
  author = ["-c", "user.name=a", "-c", "user.email=b"]
  for words in (
    ["init", "--quiet"],
    ["add", ".gitignore"],
    [*author, "commit", "--quiet", "--message=a"],
  ):
    subprocess.run(["git", *words], cwd=tmp_path, check=True)
  monkeypatch.setattr(made_by, "_ROOT", installed)
  assert made_by.commit() is None
  subprocess.run(["git", "add", "--force", ".venv"], cwd=tmp_path, check=True)
  assert re.fullmatch("[0-9a-f]{40}-dirty", made_by.commit())


def test_a_report_needs_nothing_but_the_workdir(tmp_path):
  provenance.record(short(), tmp_path)
  assert _kept(tmp_path)["tasks"] == {
    "rotnet": {
      "label": "RotNet",
      "problem": "the angle of four that an image was turned by",
      "colour": "#D55E00",
    }
  }


def test_a_workdir_that_cannot_be_written_is_named(tmp_path):
  (tmp_path / "file").write_text("")
  with pytest.raises(ConfigError, match="--workdir=.*cannot be written"):
    with stages.hold(tmp_path / "file" / "run", (0, 1)):
      pass


@pytest.mark.parametrize(
  "content",
  ["", "{", "[]", '{"config": 3}', "\0", '{"config": {}, "sha256": "a"}'],
)
def test_a_damaged_config_json_is_named_and_not_the_folder(content, tmp_path):
  provenance.record(short(), tmp_path)
  (tmp_path / "config.json").write_text(content)
  words = f"^{tmp_path}/config.json: cannot be read .*delete it"
  with pytest.raises(ConfigError, match=words):
    provenance.record(short(), tmp_path)


@pytest.mark.parametrize("variant", ["", "mine"])
def test_what_another_run_uses_is_not_to_be_removed(variant, tmp_path):
  folder = epath.Path(tmp_path / variant)
  provenance.record(short(), folder)
  config = identity.with_values(short(), {"prune.rate": 0.5})
  with locks.hold(tmp_path, (1, 2)):  # Its own lock is no other run's.
    with pytest.raises(ConfigError, match="or remove it"):
      provenance.record(config, folder)
    other = tmp_path / ".lock_0_of_2"
    other.write_text((tmp_path / ".lock_1_of_2").read_text())
    other.write_text(json.dumps(json.loads(other.read_text()) | {"process": 1}))
    words = "another --workdir, as another run uses this one. The difference"
    with pytest.raises(ConfigError, match=words):
      provenance.record(config, folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(ConfigError, match="expected what .* uses this one$"):
      provenance.record(config, folder)
