"""Training on a target: all weights, under the mask, or a head alone.

Augmented by random crops and flips; no rewinding of the schedule.
"""

import dataclasses

from etils import epath
from ml_collections import ConfigDict

from sslprune_jax import config as config_lib
from sslprune_jax.features import extraction
from sslprune_jax.pruning import tickets
from sslprune_jax.pruning.tickets import Ticket
from sslprune_jax.runtime.progress import Progress
from sslprune_jax.tasks import setup
from sslprune_jax.training import loop
from sslprune_jax.training.trainer import Trainer
from sslprune_jax.transfer import precision
from sslprune_jax.transfer.base import trained_by
from sslprune_jax.transfer.judgement import Judgement
from sslprune_jax.transfer.target import Target

FINETUNE = "transfer.finetune.train"  # section of its recipe


class FineTuning:
  """Trains networks on the labels of a target.

  Args:
    config: validated.
    target: the images.
    fraction: of the training images of each class.
    section: of the recipe.
    probed: see `models.Network`; "" trains all weights.

  Raises:
    ConfigError: the recipe does not fit the target.
  """

  def __init__(
    self,
    config: ConfigDict,
    target: Target,
    fraction: float,
    *,
    section: str = FINETUNE,
    probed: str = "",
  ):
    self.target, self.fraction = target, fraction
    self._probed = probed
    config = config.copy_and_resolve_references()
    config.dataset.update(target.dataset)
    config.model.outputs = 0
    self._recipe = config_lib.lookup(config, section)
    source = target.images(fraction, config.seeds[0]).train
    if source.multi_label:
      target.check_tested()
    self.shape = source.image_shape
    task = setup.make_task(config, "labels", source)
    self.trainer = Trainer(config, section, task, source, probed=probed)
    self._logits = extraction.make_step(
      self.trainer.network, task.normalise, "logits"
    )

  def num_images(self) -> int:
    """Counts the images that the network is trained on."""
    return self.trainer.num_images()

  def run(
    self, ticket: Ticket, directory: epath.Path, seed: int, progress: Progress
  ) -> Judgement:
    """Trains a ticket's trunk under its mask, with a new head.

    Args:
      ticket: weights to start from, and the mask.
      directory: of metrics, of checkpoints, and of `trained.npz`.
      seed: of the subset, of the head, and of the order of training.
      progress: the study's.
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
        directory / "trained.npz",
        dataclasses.replace(
          ticket,
          masks=masks,
          params=state.params,
          batch_stats=state.batch_stats,
          meta={**ticket.meta, "kind": "finetuned", "target": self.target.name},
        ),
      )
    settings = trained_by(self._recipe) | {"updates": self.trainer.length}
    if self._probed:
      settings["augment"] = True
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
    return {"mean_average_precision": sum(classes.values()) / len(classes)}
