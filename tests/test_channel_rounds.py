"""Studies that prune channels: nested, counted, killed and gone on with."""

import chex
import jax
import numpy as np
import pytest
from helpers import bits, die_after, short, traced_once

from sslprune_jax import models
from sslprune_jax.exchange import shrink
from sslprune_jax.pruning import masks as masks_lib
from sslprune_jax.pruning import tickets
from sslprune_jax.pruning.context import Context
from sslprune_jax.runtime.errors import ConfigError
from sslprune_jax.runtime.trees import named_leaves
from sslprune_jax.study import channel_rounds, run, validation
from sslprune_jax.training import context, state


def _config(**prune):
  config = short()  # Of widths 4, 8, 16 and 16.
  config.prune.update(structure="channels", multiple=4, rounds=3, rate=0.3)
  config.prune.update(prune)
  config.train.update(duration="8it")
  config.retrain.update(rounds=(2,), inits=("rewind", "random", "narrow"))
  config.retrain.train.update(duration="2it", batch_size=64)
  return config


@pytest.fixture(scope="module")
def study(tmp_path_factory):
  workdir = tmp_path_factory.mktemp("study")
  with pytest.MonkeyPatch.context() as patch:
    traces = traced_once(patch)
    lines = run.run(_config(), workdir)
  assert traces == ["RotNet", "Labels"], "one trace for all rounds"
  return workdir, lines


def _trained(workdir, index):
  path = f"seed_0/rotnet/round_{index:02d}/trained.npz"
  return tickets.load(workdir / path)


def test_channels_go_by_blocks_to_what_the_rate_leaves(study):
  _, lines = study
  found = {
    line["round"]: line["density_of_channels"]
    for line in lines
    if line["stage"] == "pretext"
  }
  # Of 44 channels 31, 22 and 15 are left, half up, less what a block is more:
  # of 4, or of 1 where there are 4 of them.
  left = {index: round(44 * share) for index, share in found.items()}
  assert left[0] == 44 and all(
    most - 4 < left[index] <= most
    for index, most in zip((1, 2, 3), (31, 22, 15), strict=True)
  )


def test_what_is_pruned_stays_pruned_in_all_that_goes_with_it(study):
  workdir, _ = study
  before = masks_lib.prunable(_trained(workdir, 0).masks)
  assert {name.rsplit("/", 1)[-1] for name in before} == {
    *("bias", "kernel", "scale")
  }
  for index in (1, 2, 3):
    ticket = _trained(workdir, index)
    masks = masks_lib.prunable(ticket.masks)
    for name, mask in masks.items():
      assert not (mask & ~before[name]).any(), name
    for i in (1, 2, 3, 4):
      stage = f"trunk/stage{i}"
      outputs = masks[f"{stage}/conv/kernel"].any((0, 1, 2))
      for name in ("scale", "bias"):
        np.testing.assert_array_equal(masks[f"{stage}/bn/{name}"], outputs)
      if i < 4:
        inputs = masks[f"trunk/stage{i + 1}/conv/kernel"].any((0, 1, 3))
        np.testing.assert_array_equal(inputs, outputs)
      assert not outputs.sum() % (1 if i < 2 else 4)
    masks_lib.check_pruned(ticket.masks, ticket.params)
    before = masks


def test_a_ticket_of_it_is_shrunk_and_trained_on(study, tmp_path):
  workdir, _ = study
  pruned = _trained(workdir, 3)
  small = shrink.shrink(pruned)
  tickets.save(tmp_path / "small.npz", small)
  sizes = [
    sum(leaf.size for leaf in named_leaves(t.params).values())
    for t in (pruned, small)
  ]
  assert sizes[1] < 0.5 * sizes[0]
  config = _config(rounds=1, multiple=1, rewind="0it")
  config.start, config.model.name = str(tmp_path / "small.npz"), ""
  config.model.width = 1.0
  config.retrain.update(rounds=(1,), inits=("reinit",))
  config.transfer.update(protocols=("knn:digits",), rounds=(1,))
  lines = run.run(config, tmp_path / "w")
  assert lines[0]["model"] == "convnet x 0.25, shrunk"
  assert {line["stage"] for line in lines} == {"pretext", "retrain", "transfer"}
  again = shrink.shrink(_trained(tmp_path / "w", 1))
  kernels = [
    named_leaves(t.params)["trunk/stage3/conv/kernel"].shape
    for t in (small, again)
  ]
  assert kernels[0] != kernels[1]


def _left(lines):
  """Returns how many of 44 channels each start leaves."""
  return {
    line["init"]: round(44 * line["density_of_channels"])
    for line in lines
    if line["stage"] == "retrain"
  }


def test_random_channels_leave_as_much(study):
  _, lines = study
  found = _left(lines)
  assert found["rewind"] - 4 < found["random"] <= found["rewind"]


def test_a_narrow_network_has_the_same_share_of_every_layer(study):
  workdir, lines = study
  found = _left(lines)
  assert found["rewind"] - 4 < found["narrow"] <= found["rewind"]


def _rng(seed):
  return np.random.default_rng(seed)


def _rounds(**prune):
  """Makes the rounds of a network, its params and their masks."""
  config = _config(**prune)
  network = models.from_config(config.model, 4)
  drawn = state.initialize(network, (8, 8, 1), jax.random.key(0))
  uses, dense = (
    models.uses(network, (8, 8, 1)),
    masks_lib.dense(drawn["params"]),
  )
  made = channel_rounds.ChannelRounds(
    config, (8, 8, 1), uses, [*uses], drawn, dense
  )
  return made, drawn["params"], dense


def test_a_score_that_channels_do_not_have_is_refused_before_any_training(
  monkeypatch,
):
  _rounds(criterion="bn_scale")
  monkeypatch.setattr(channel_rounds.channel_scores, "has_scales", lambda g: 0)
  with pytest.raises(ConfigError, match="found bn_scale, .* norm follows t"):
    _rounds(criterion="bn_scale")
  _rounds(criterion="magnitude")


def test_the_first_process_chooses_for_all(monkeypatch):
  made, params, dense = _rounds(criterion="random")
  half = made.prune(2, Context(params, made.widen(dense, params), _rng(0)))
  of_first, from_first = [], channel_rounds.processes.from_first

  def receive(make):  # The second is another process: it takes the first's.
    of_first.append(from_first(make))
    return of_first[0]

  monkeypatch.setattr(channel_rounds.processes, "from_first", receive)
  ours, theirs = (made.random(half, _rng(seed)) for seed in (0, 1))
  chex.assert_trees_all_equal(ours, theirs)
  assert any((a != b).any() for a, b in zip(*of_first, strict=True))


def test_a_narrow_network_is_of_the_first_channels_of_each_layer():
  made, params, dense = _rounds(multiple=1, streams=True)
  masks = jax.tree.map(np.copy, made.widen(dense, params))
  trunk = masks["trunk"]
  for i, count in ((2, 6), (3, 12)):  # 26 of 44 channels are left.
    for leaf in (
      trunk[f"stage{i}"]["conv"]["kernel"],
      trunk[f"stage{i}"]["bn"]["scale"],
      trunk[f"stage{i}"]["bn"]["bias"],
    ):
      leaf[..., :count] = False
    trunk[f"stage{i + 1}"]["conv"]["kernel"][:, :, :count] = False
  found = masks_lib.prunable(made.narrow(masks))
  kept = [found[f"trunk/stage{i}/bn/scale"].tolist() for i in (1, 2, 3, 4)]
  # 0.62 of 4, 8, 16 and 16 are 2, 4, 9 and 9, down; then what 0.625 widens.
  assert [sum(scale) for scale in kept] == [2, 5, 10, 9]
  for scale in kept:
    assert scale == sorted(scale, reverse=True)


def test_killed_it_ends_in_the_same_bits(study, tmp_path):
  with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
    die_after(19, patch)
    run.run(_config(), tmp_path)
  run.run(_config(), tmp_path)
  assert bits(tmp_path) == bits(study[0])


def test_multiply_adds_and_one_shot(tmp_path):
  config = _config(
    method="one-shot",
    densities=(0.5, 0.2),
    counts="multiply_adds",
    criterion="bn_scale",
    multiple=1,
  )
  config.retrain.rounds = ()
  lines = run.run(config, tmp_path)
  found = {line["round"]: line["density_of_multiply_adds"] for line in lines}
  assert 0.4 < found[1] <= 0.5 and 0.15 < found[2] <= 0.2


def test_the_tasks_own_loss_scores_channels(study, tmp_path, monkeypatch):
  seen = []
  real = context.make

  def make(*args):
    seen.append(real(*args))
    return seen[-1]

  monkeypatch.setattr(context, "make", make)
  config = _config(criterion="taylor", batches=2, rounds=1)
  config.retrain.rounds = ()
  run.run(config, tmp_path)
  ours, theirs = _trained(tmp_path, 1), _trained(study[0], 1)
  leaves = [masks_lib.prunable(ticket.masks) for ticket in (ours, theirs)]
  assert any(
    (leaves[0][name] != mask).any() for name, mask in leaves[1].items()
  )
  # Of RotNet's four answers, by 64 images in four rotations.
  (used,) = seen
  assert not list(used.batches), "read once"
  batch = {
    "image": np.zeros((1, 64, 8, 8, 1), np.uint8),
    "label": np.zeros((1, 64), np.int32),
    "index": np.zeros((1, 64), np.int32),
  }
  head = jax.tree.map(np.zeros_like, used.params["head"])
  params = {"trunk": used.params["trunk"], "head": head}
  np.testing.assert_allclose(used.loss(params, (0, batch)), np.log(4), 1e-6)


@pytest.mark.parametrize(
  "prune, message",
  [
    (
      {"rounds": 9, "multiple": 1},
      "prune.rounds: found 9, expected at most 6 .*0.1364 of the channels",
    ),
    (
      {"method": "one-shot", "densities": (0.5, 0.01), "rounds": 0},
      "prune.densities: found 0.01, expected more: 0.2955 of the channels is",
    ),
    (
      {"multiple": 3},
      "prune.multiple: found 3, .*the 8 channels of trunk/stage2",
    ),
    ({"scope": "layer"}, "prune.scope: .*'global' where prune.structure is"),
    ({"structure": "weights", "criterion": "taylor"}, "prune.criterion: "),
  ],
)
def test_what_cannot_be_had_is_one_line(prune, message, tmp_path):
  config = _config(**prune)
  config.retrain.rounds = ()
  with pytest.raises(ConfigError, match=f"config.{message}"):
    run.run(config, tmp_path)


def test_streams_alone_are_named_where_they_may_not_go(tmp_path):
  config = _config(first_layers=1)
  config.model.update(name="resnet18", width=0.125)
  config.retrain.rounds = ()
  with pytest.raises(
    ConfigError, match="none of resnet18 may be cut: all are of streams"
  ):
    run.run(config, tmp_path)


def test_a_control_of_weights_and_protocols_that_prune_are_refused():
  config = _config()
  config.prune.structure = "weights"
  with pytest.raises(ConfigError, match="retrain.inits: .*none of 'narrow'"):
    validation.validate(config)
  config.prune.structure, config.retrain.inits = "channels", ("adjusted",)
  with pytest.raises(ConfigError, match="retrain.inits: .*of single weights"):
    validation.validate(config)
  config = _config(criterion="taylor")
  config.tasks = ("npid",)
  with pytest.raises(ConfigError, match="tasks: .*prune.criterion is taylor"):
    validation.validate(config)
