"""What transfer refuses: each in one line that names it."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from image_files import encode, photo
from test_transfer_study import config

from sslprune_jax import data
from sslprune_jax.config import recipes
from sslprune_jax.data import ArraySource, DataError
from sslprune_jax.pruning import masks, tickets
from sslprune_jax.pruning.tickets import TicketError
from sslprune_jax.runtime import environment
from sslprune_jax.runtime.errors import ConfigError
from sslprune_jax.study import alone, validation
from sslprune_jax.study.images import StudyData
from sslprune_jax.study.plan import transfers
from sslprune_jax.study.transfers import Transfers

SHAPE = (8, 8, 1)


def _transfers(**fields):
  settings = config(**fields)
  validation.validate(settings)
  return Transfers(settings, SHAPE)


@pytest.mark.parametrize(
  ("fields", "message"),
  [
    ({"protocols": ("lineal:digits",)}, "transfer.protocols: found .'lineal"),
    ({"protocols": ("linear",)}, "transfer.protocols: found"),
    ({"protocols": ("linear:mnist",)}, "transfer.protocols: found"),
    ({"protocols": ("linear:digits:0",)}, "transfer.protocols: found"),
    ({"protocols": ("linear:digits:x",)}, "transfer.protocols: found"),
    (
      {"protocols": ("linear:digits:0.3333333",)},
      "transfer.protocols: .*, of at most six digits",
    ),
    ({"protocols": ("linear:digits:1:1",)}, "transfer.protocols: found"),
    (
      {"protocols": ("knn:digits", "knn:digits:1.0")},
      "transfer.protocols: found .* expected distinct",
    ),
    ({"rounds": (3,)}, r"transfer.rounds: found \(3,\), expected distinct rou"),
    ({"layers": ()}, "transfer.layers: found"),
    (
      {"protocols": ("linear:digits",), "layers": ("stage9",)},
      "transfer.layers: found 'stage9', expected one of .*'stage4'",
    ),
    (
      {
        "protocols": ("linear:digits",),
        "layers": ("stage9",),
        "linear": {"augment": True},
      },
      "transfer.layers: found 'stage9', expected one of .*'stage4'",
    ),
    (
      {
        "protocols": ("linear:digits",),
        "held_out": 0.2,
        "linear": {"augment": True},
      },
      "transfer.held_out: found 0.2, expected 0 where transfer.linear.augment",
    ),
    (
      {"protocols": ("linear:digits:0.02",)},
      "transfer.linear.train.batch_size: found 64, expected at most the 30 tr",
    ),
    (
      {"protocols": ("knn:digits:0.01",)},
      "transfer.knn.neighbours: found 20, expected at most the 10 training im",
    ),
    (
      {"protocols": ("svm:digits:0.01",)},
      "transfer.targets.digits: class 0: found 1 of 10 training images with it",
    ),
    (
      {"protocols": ("finetune:digits:0.01",)},
      "transfer.finetune.train.batch_size: found 32, expected at most the",
    ),
  ],
)
def test_settings_that_do_not_fit_name_their_field(fields, message):
  with pytest.raises(ConfigError, match=f"config.{message}"):
    _transfers(**fields)


def test_a_target_without_labels_is_refused(tmp_path):
  for i in range(10):
    (tmp_path / f"{i}.png").write_bytes(encode(photo(9, 9, i), "PNG"))
  settings = config(protocols=("linear:folder",))
  settings.transfer.targets.folder.data_dir = str(tmp_path)
  with pytest.raises(ConfigError, match="targets.folder: found images without"):
    Transfers(settings, SHAPE)


def test_several_labels_are_not_for_linear_nor_to_pretrain_on(monkeypatch):
  source = ArraySource(
    np.zeros((90, *SHAPE), np.uint8), np.tile(np.eye(3, dtype=int), (30, 1))
  )
  monkeypatch.setattr(data, "load", lambda spec: source)
  with pytest.raises(ConfigError, match="several labels an image, digits, exp"):
    _transfers(protocols=("linear:digits",))
  with pytest.raises(ConfigError, match="several labels an image, digits, exp"):
    _transfers(protocols=("linear:digits",), linear={"augment": True})
  with pytest.raises(
    ConfigError, match="found 0.5 of digits, whose images have"
  ):
    _transfers(protocols=("svm:digits:0.5",))
  _transfers(protocols=("svm:digits",))
  source.labels[:, 1] = np.maximum(source.labels[:, 1] - 1, -1)
  for protocol in ("svm", "finetune"):
    with pytest.raises(ConfigError, match="class 1: found no test image with"):
      _transfers(protocols=(f"{protocol}:digits",))
  with pytest.raises(DataError, match="several labels, expected one an image"):
    StudyData(config())


@pytest.fixture
def ticket(tmp_path):
  """A ticket on disk, and its path."""
  made = _transfers().random(0)
  settings = config().to_dict()
  meta = {"config": settings, "seed": 0, "task": "rotnet", "round": 0}
  made = dataclasses.replace(made, meta={**meta, "image_shape": list(SHAPE)})
  tickets.save(tmp_path / "trained.npz", made)
  return made, tmp_path


def test_a_ticket_of_another_architecture_is_refused(ticket, tmp_path):
  made, path = ticket
  made.meta["config"]["model"]["name"] = "vgg19"
  made.meta["config"]["dataset"]["image_size"] = 32
  made.meta["image_shape"] = [32, 32, 1]
  tickets.save(path / "trained.npz", made)
  settings = config(protocols=("linear:digits",), random=False)
  with pytest.raises(TicketError, match="another architecture: trunk/.* shape"):
    alone.run(settings, [path], tmp_path / "out")


def test_a_mask_that_does_not_match_or_is_not_applied_is_refused(ticket):
  made, _ = ticket
  shapes = jax.eval_shape(lambda: made.variables)
  kernel = made.masks["trunk"]["stage2"]["conv"]["kernel"]
  kernel[0] = False
  with pytest.raises(
    TicketError, match="here: trunk/stage2/conv/kernel: found"
  ):
    tickets.check(made, shapes, "here")
  pruned = dataclasses.replace(
    made, params=jax.device_get(masks.apply(made.masks, made.params))
  )
  tickets.check(pruned, shapes, "here")
  made.masks["trunk"]["stage2"]["conv"]["kernel"] = kernel[1:]
  with pytest.raises(
    TicketError, match="mask of trunk/stage2/conv/kernel: fou"
  ):
    tickets.check(made, shapes, "here")


def test_alone_says_what_it_cannot_do(ticket, tmp_path):
  made, path = ticket
  with pytest.raises(
    ConfigError, match="transfer.protocols: found none, expec"
  ):
    alone.run(config(protocols=()), [path], tmp_path / "out")
  with pytest.raises(
    ConfigError, match="found 'prune', expected it in a study"
  ):
    alone.run(config(protocols=("prune:digits",)), [path], tmp_path / "out")
  other = dict(made.meta, config=recipes.study("npid", "cifar10").to_dict())
  tickets.save(tmp_path / "b.npz", dataclasses.replace(made, meta=other))
  with pytest.raises(ConfigError, match="b.npz: found another model than that"):
    alone.run(config(), [path, tmp_path / "b.npz"], tmp_path / "out")
  tickets.save(tmp_path / "c.npz", dataclasses.replace(made, meta={}))
  with pytest.raises(
    TicketError, match="c.npz: meta.config: found None, expected the sections"
  ):
    alone.run(config(), [tmp_path / "c.npz"], tmp_path / "out")
  other = {**made.meta, "config": {**made.meta["config"], "prune": {"gone": 1}}}
  tickets.save(tmp_path / "d.npz", dataclasses.replace(made, meta=other))
  with pytest.raises(
    TicketError, match="made by another version: prune:.*gone"
  ):
    alone.run(config(), [tmp_path / "d.npz"], tmp_path / "out")


def test_alone_a_target_that_is_not_there_claims_no_workdir(ticket, tmp_path):
  settings = config(protocols=("knn:folder",), random=False)
  settings.transfer.targets.folder.data_dir = str(tmp_path / "nowhere")
  with pytest.raises(DataError, match="nowhere"):
    alone.run(settings, [ticket[1]], tmp_path / "out")
  assert not (tmp_path / "out/config.json").exists()


def test_a_target_is_not_augmented_as_a_pretext_task_asks():
  settings = config(protocols=("finetune:digits",))
  plain = Transfers(settings, SHAPE)
  settings.dataset.update(jitter=(0.4, 0.4, 0.0, 0.0), rotation=10.0)
  settings.dataset.crop_scale = (0.2, 1.0)
  (stage,) = transfers(settings, 0, "rotnet", (0,))
  augments = [
    made._judge(stage).trainer.task.augment
    for made in (plain, Transfers(settings, SHAPE))
  ]
  assert augments[0] == augments[1] and augments[0].padding == 1


def test_features_that_the_devices_cannot_hold_are_refused(monkeypatch):
  monkeypatch.setattr(environment, "memory_limit", lambda: 100_000)
  with pytest.raises(ConfigError, match="take 0.0 GB of each device, expected"):
    _transfers(protocols=("linear:digits",))
  _transfers(protocols=("finetune:digits",))


@pytest.mark.parametrize(
  "field, value, words",
  [
    ("task", "../../x", "meta.task: found '../../x', expected a name"),
    ("task", 3, "meta.task: found 3"),
    ("seed", -1, "meta.seed: found -1"),
    ("round", 10**9, "meta.round: found 1000000000"),
    ("image_shape", [8, 8], "meta.image_shape: found"),
    ("config", {"model": 3}, "meta.config: found .* expected the sections"),
    ("config", None, "meta.config: found None"),
    ("plugins", 3, "meta.plugins: found 3"),
    ("model.width", float("inf"), "meta.config.model.width: found inf"),
    ("model.name", "lenet", "meta.config.model.name: found 'lenet'"),
    ("model.dtype", "int8", "meta.config.model.dtype: found 'int8'"),
    ("dataset.mean", ["x"], "meta.config.dataset.mean: found"),
    ("dataset.std", [0.0], "meta.config.dataset.std: found"),
  ],
)
def test_what_a_ticket_says_of_itself_is_not_believed(
  field, value, words, ticket, tmp_path
):
  made, _ = ticket
  hostile = tmp_path / "in/hostile.npz"
  meta = json.loads(json.dumps(made.meta))
  section, _, name = field.rpartition(".")
  (meta["config"][section] if section else meta)[name] = value
  tickets.save(hostile, dataclasses.replace(made, meta=meta))
  with pytest.raises(TicketError, match=f"hostile.npz: {words}"):
    alone.run(config(protocols=("knn:digits",)), [hostile], tmp_path / "a/b")
  assert {path.name for path in tmp_path.iterdir()} == {"in", "trained.npz"}


def test_another_ticket_of_the_same_name_is_not_given_its_results(
  ticket, tmp_path
):
  made, path = ticket
  out = tmp_path / "out"
  settings = config(protocols=("knn:digits",), random=False)
  alone.run(settings, [path], out)
  kernel = made.params["trunk"]["stage1"]["conv"]["kernel"]
  other = tmp_path / "other.npz"
  made.params["trunk"]["stage1"]["conv"]["kernel"] = kernel + 1
  tickets.save(other, made)
  for paths in ([other], [path, other]):
    with pytest.raises(
      ConfigError, match="other.npz: found another ticket of "
    ):
      alone.run(settings, paths, out)
  with pytest.raises(ConfigError, match="other.npz: found another ticket of "):
    alone.run(settings, [path, other], tmp_path / "new")
  alone.run(settings, [path, path], out)
