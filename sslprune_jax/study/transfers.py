"""Judges trained networks on other data, by the protocols of the field."""

import dataclasses
import functools
from typing import Any

import jax
from etils import epath
from ml_collections import ConfigDict

from sslprune_jax import models
from sslprune_jax import workdir as workdir_lib
from sslprune_jax.config import network_name, protocols
from sslprune_jax.pruning import magnitude, tickets
from sslprune_jax.pruning import masks as masks_lib
from sslprune_jax.pruning.tickets import Ticket
from sslprune_jax.runtime import files, rng
from sslprune_jax.runtime.progress import Progress
from sslprune_jax.study.images import index_list
from sslprune_jax.study.plan import plan, ranked_kernels
from sslprune_jax.training import state as state_lib
from sslprune_jax.training.recipe import stretch_recipe
from sslprune_jax.transfer import base
from sslprune_jax.transfer.base import Judgement, Protocol
from sslprune_jax.transfer.target import Target
from sslprune_jax.workdir import TransferStage


class Transfers:
  """The transfers of a configuration, whose targets are opened at once.

  Args:
    config: configuration, validated.
    image_shape: shape (H, W, C) that the networks were trained on.

  Raises:
    ConfigError: a protocol, its recipe or its target do not fit each other.
    DataError: a target is not there.
  """

  def __init__(self, config: ConfigDict, image_shape: tuple[int, int, int]):
    self._config, self._image_shape = config, image_shape
    self._targets, self._judges = {}, {}
    self._network = models.from_config(config.model, 1)
    for stage in plan(config):
      if isinstance(stage, TransferStage):
        self._judge(stage)

  def num_images(self, stage: TransferStage) -> int:
    """Counts the images that go through the network in a stage."""
    return self._judge(stage).num_images()

  def run(
    self,
    stage: TransferStage,
    ticket: Ticket,
    workdir: epath.Path,
    progress: Progress,
  ) -> list[dict[str, Any]]:
    """Judges a network.

    Args:
      stage: judgement to make.
      ticket: trained network; the dense one for a protocol of every round.
      workdir: folder that the stage's folder lies in.
      progress: progress of the study.

    Returns:
      A line of results for each metric.

    Raises:
      TicketError: the ticket does not fit the network that is configured, or
        is not pruned as its mask says.
    """
    directory, judge = workdir / stage.path, self._judge(stage)
    where = f"{stage.task}, round {stage.round}, seed {stage.seed}"
    tickets.check(ticket, self._shapes, where)
    if protocols.find(stage.protocol).every_round:
      ticket = _prune(self._config, ticket, stage, workdir)
    chosen = judge.target.choose(stage.fraction, stage.seed)
    if chosen is not None:
      files.write_json(directory / workdir_lib.LABELLED, index_list(chosen))
    found = judge.run(ticket, directory, stage.seed, progress)
    masks_lib.check_pruned(found.masks, found.params)
    return self._lines(stage, judge, found)

  def _lines(
    self, stage: TransferStage, judge: Protocol, found: Judgement
  ) -> list[dict[str, Any]]:
    """Returns a line of results for each metric."""
    target, images = judge.target, judge.images(stage.seed)
    line = {
      "seed": stage.seed,
      "task": stage.task,
      "stage": "transfer",
      "round": stage.round,
      "init": None,
      **masks_lib.shares(found.masks, found.params["trunk"]),
      "model": network_name(self._config.model),
      "dataset": target.dataset.name,
      "split": target.dataset.test,
      "n": len(images.test),
      "training_images": len(images.train),
      "protocol": stage.protocol,
      "target": stage.target,
      "fraction": stage.fraction,
      "layer": stage.layer,
      "crop": target.crop,
      **found.settings,
    }
    return [
      {**line, "metric": metric, "value": value}
      for metric, value in found.scores.items()
    ]

  def random(self, seed: int) -> Ticket:
    """Returns an untrained network: the weights that training starts from."""
    drawn = jax.device_get(self._draw(seed))
    return Ticket(
      masks=masks_lib.dense(drawn["params"]),
      meta={"image_shape": list(self._image_shape)},
      **drawn,
    )

  @functools.cached_property
  def _shapes(self):
    return jax.eval_shape(lambda: self._draw(seed=0))

  def _draw(self, seed: int):
    key = rng.stream_key(seed, "init")
    return state_lib.initialize(self._network, self._image_shape, key)

  def _target(self, name: str, whole: bool, labelled: bool) -> Target:
    # Resident images are small and of one size.
    whole = whole or self._config.transfer.targets[name].resident
    if not labelled and (name, whole, True) in self._targets:
      # The same images, unless some of them have no label.
      same = self._targets[name, whole, True]
      labelled = same.is_whole
    key = name, whole, labelled
    if key not in self._targets:
      self._targets[key] = Target(self._config, *key)
    return self._targets[key]

  def _judge(self, stage: TransferStage) -> Protocol:
    """Returns what judges a stage, the same one for all that may share it."""
    row = protocols.find(stage.protocol)
    protocol = base.load(row)
    factor = protocol.factor(row, self._config, stage)
    # Not by its name: pruned in pre-training and in transfer share what they
    # compile.
    seen = row.target, row.whole_images, row.several_labels
    key = *seen, stage.target, stage.fraction, stage.layer, factor
    if key not in self._judges:
      self._judges[key] = protocol.make(
        row,
        stretch_recipe(self._config, protocol.section, factor),
        self._target(stage.target, row.whole_images, row.reads_labels),
        stage.fraction,
        stage.layer,
      )
    return self._judges[key]


def _prune(
  config: ConfigDict, dense: Ticket, stage: TransferStage, workdir: epath.Path
) -> Ticket:
  """Returns what a round of pruning during transfer starts from.

  The rounds are those of pre-training with the pre-trained weights as W_k: the
  network that the round before fine-tuned is pruned, and what remains starts
  from its pre-trained value again.

  Args:
    config: configuration, validated.
    dense: pre-trained network.
    stage: round to prune for.
    workdir: folder in which the round before left `trained.npz`.

  Returns:
    The pre-trained weights under the mask of the round.
  """
  if stage.round == 0:
    return dense
  before = dataclasses.replace(stage, round=stage.round - 1)
  trained = tickets.load(workdir / before.path / workdir_lib.TRAINED)
  network = models.from_config(config.model, 1)
  uses = models.uses(network, tuple(dense.meta["image_shape"]))
  masks = magnitude.prune(
    magnitude.score("magnitude", trained.params, trained.masks),
    trained.masks,
    config.prune.rate,
    rng.stream_generator(stage.seed, f"ties {stage.path}"),
    scope=config.prune.scope,
    layers=ranked_kernels(config, uses),
  )
  return dataclasses.replace(dense, masks=masks)
