"""`finetune`, `prune`: training on a target, under the mask.

All weights are trained or, to probe a frozen trunk, a head alone. Images are
augmented by random crops and flips; the schedule is not rewound.
"""

import dataclasses
import statistics

from etils import epath
from ml_collections import ConfigDict

from sslprune_jax import config as config_lib
from sslprune_jax import models, tasks
from sslprune_jax import workdir as workdir_lib
from sslprune_jax.config.protocols import ProtocolRow
from sslprune_jax.features import extraction
from sslprune_jax.pruning import tickets
from sslprune_jax.pruning.tickets import Ticket
from sslprune_jax.runtime.errors import ConfigError
from sslprune_jax.runtime.progress import Progress
from sslprune_jax.training import loop
from sslprune_jax.training.trainer import Trainer
from sslprune_jax.transfer import precision
from sslprune_jax.transfer.base import Judgement, Protocol, recipe_settings
from sslprune_jax.transfer.target import Target


class FineTuning(Protocol):
  """Trains networks on the labels of a target.

  Args:
    row: row of the protocol.
    config: configuration, validated.
    target: images to train and test on.
    fraction: share of the training images of each class.
    layer: endpoint that a head on the frozen trunk reads, if `probes`.
    section: name of the recipe's section.
    probes: whether the head alone is trained.

  Raises:
    ConfigError: the recipe does not fit the target.
  """

  section = "transfer.finetune.train"

  def __init__(
    self,
    row: ProtocolRow,
    config: ConfigDict,
    target: Target,
    fraction: float,
    layer: str,
    *,
    section: str = section,
    probes: bool = False,
  ):
    super().__init__(row, config, target, fraction, layer)
    self._probed = layer if probes else ""
    config = config.copy_and_resolve_references()
    config.dataset.update(target.dataset)
    config.model.outputs = 0
    self._recipe = config_lib.lookup(config, section)
    source = target.images(fraction, config.seeds[0]).train
    if source.multi_label:
      target.check_tested()
    self.shape = source.image_shape
    if probes:
      network = models.from_config(config.model, 1)
      known = tuple(models.endpoints(network, source.image_shape))
      if layer not in known:
        raise ConfigError(
          f"config.transfer.layers: found {layer!r}, expected one of {known}"
        )
    task = tasks.make(config, "labels", source)
    self.trainer = Trainer(config, section, task, source, probed=self._probed)
    self._logits = extraction.make_step(
      self.trainer.network, task.normalise, "logits"
    )

  @classmethod
  def factor(cls, row, config, stage):
    """Returns how many rounds a stage trains for, by `finetune.epochs`.

    A ticket is trained for one round, or as long as pruning during transfer
    takes to come as far.
    """
    total = config.transfer.finetune.epochs == "total"
    return stage.round + 1 if total and not row.every_round else 1

  def num_images(self) -> int:
    """Counts the images that the network is trained on."""
    return self.trainer.num_images()

  def run(
    self, ticket: Ticket, directory: epath.Path, seed: int, progress: Progress
  ) -> Judgement:
    """Trains a ticket's trunk under its mask, with a new head.

    Args:
      ticket: weights to start from, and the mask.
      directory: folder of metrics, of checkpoints, and of `trained.npz`.
      seed: seed of the subset, of the head, and of the order of training.
      progress: progress of the study.
    """
    images = self.target.images(self.fraction, seed)
    variables, masks = self.trainer.with_new_head(
      ticket.variables, ticket.masks, self.shape, seed
    )
    state = loop.train(
      self.trainer,
      self.trainer.new_state(variables, masks, images.train, seed),
      images,
      directory,
      seed,
      progress,
    )
    if self.target.train.multi_label:
      scores = self._precision(state)
    else:
      scores = loop.evaluate(self.trainer, state, images)
    if not self._probed:
      tickets.save(
        directory / workdir_lib.TRAINED,
        dataclasses.replace(
          ticket,
          masks=masks,
          params=state.params,
          batch_stats=state.batch_stats,
          meta={**ticket.meta, "kind": "finetuned", "target": self.target.name},
        ),
      )
    settings = recipe_settings(self._recipe) | {"updates": self.trainer.length}
    if self._probed:
      read = models.endpoints(self.trainer.network, self.shape)[self._probed]
      settings |= {"augment": True, "pooling": models.pooling(read)}
    return Judgement(scores, settings, masks, state.params)

  def _precision(self, state) -> dict[str, float]:
    found = extraction.extract(
      self._logits,
      state.variables,
      self.target.test,
      self.trainer.batch_size,
      with_labels=True,
    )
    classes = precision.of_classes(
      found.on_host(), found.labels, self.target.train.class_names
    )
    return {"mean_average_precision": statistics.fmean(classes.values())}
