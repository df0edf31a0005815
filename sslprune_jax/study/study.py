"""A study: its stages, and how each is done.

For every seed and task, as in section 3 of the paper: train the dense network
and keep W_k; then, round by round, prune a share of what remains, rewind to W_k
and train again; then retrain the masks of chosen rounds on labels, from W_k,
from fresh weights, and against a random control, and transfer the networks of
chosen rounds to other data. A stage whose result is on disk is not run again.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import logging
from etils import epath
from ml_collections import ConfigDict

from sslprune_jax import config as config_lib
from sslprune_jax import models
from sslprune_jax.pruning import masks as masks_lib
from sslprune_jax.pruning import sparsity, tickets
from sslprune_jax.runtime import files, processes, rng
from sslprune_jax.runtime.errors import ConfigError
from sslprune_jax.runtime.progress import Progress
from sslprune_jax.study import rounds, stages
from sslprune_jax.study.images import RETRAINING, StudyData, index_list
from sslprune_jax.study.plan import plan
from sslprune_jax.study.study_trainings import StudyTrainings
from sslprune_jax.study.trainers import Trainings
from sslprune_jax.study.transfers import Transfers
from sslprune_jax.training import checkpoints, loop
from sslprune_jax.workdir import UNTRAINED, Stage, TransferStage


class Study:
  """A study on disk.

  Args:
    config: validated, without variants.
    workdir: where everything is written.
    trainings: that other studies of this process share.
    name: of the variant that it is, for progress.

  Raises:
    ConfigError: the configuration does not fit the data or the devices.
  """

  def __init__(
    self,
    config: ConfigDict,
    workdir: epath.Path,
    trainings: Trainings,
    name: str = "",
  ):
    self.config, self.workdir, self._name = config, workdir, name
    self.data = StudyData(config)
    self.image_shape = self.data.train.image_shape
    self.trainings = StudyTrainings(config, self.data, trainings)
    self.transfers = Transfers(config, self.image_shape)
    network = self.trainings.pretext[config.tasks[0]].network
    self._uses = models.uses(network, self.image_shape)
    self.layers = models.layer_order(self._uses)
    if config.prune.first_layers > len(self.layers):
      raise ConfigError(
        f"config.prune.first_layers: found {config.prune.first_layers}, "
        f"expected at most the {len(self.layers)} layers of "
        f"{config.model.name}"
      )
    first = self.layers[: config.prune.first_layers or None]
    self._ranked = [name for layer in first for name in layer]

  def stages(self, seeds: Sequence[int]) -> list[Stage | TransferStage]:
    """Lists the stages of some seeds in the order in which they run."""
    return [stage for stage in plan(self.config) if stage.seed in seeds]

  def num_images(self, seeds: Sequence[int]) -> int:
    """Counts the images that the stages of some seeds train on."""
    return sum(self._images(stage) for stage in self.stages(seeds))

  def run(
    self, seeds: Sequence[int], progress: Progress
  ) -> list[dict[str, Any]]:
    """Runs the stages of some seeds that are not done.

    Args:
      seeds: all of them, or those of this process.
      progress: of this process.

    Returns:
      The lines of results of these seeds.
    """
    self._list_labelled(seeds)
    planned = plan(self.config)
    paths = [stage.path for stage in planned]
    others = [stage.path for stage in planned if stage.seed not in seeds]
    done = {}

    def write():
      stages.write_results(self.workdir, paths, done, others)

    for stage in self.stages(seeds):
      news = not files.exists(self.workdir / stage.path / "result.json")
      done[stage.path] = self._run_once(stage, progress)
      if news:
        processes.from_first(write)
    processes.from_first(write)
    return [line for s in self.stages(seeds) for line in done[s.path]]

  def _list_labelled(self, seeds: Sequence[int]) -> None:
    """Writes down whose labels are seen, where it is not everyone's."""
    purposes = self.config.tasks
    if self.trainings.retraining:
      purposes += (RETRAINING,)
    for seed, purpose in itertools.product(seeds, purposes):
      chosen = self.data.labelled(purpose, seed)
      if chosen is not None:
        path = self.workdir / f"seed_{seed}/labelled_{purpose}.json"
        files.write_json(path, index_list(chosen))

  def _run_once(
    self, stage: Stage | TransferStage, progress: Progress
  ) -> list[dict[str, Any]]:
    """Runs a stage, or reads the result that says that it is done."""

    def run():
      if isinstance(stage, TransferStage):
        return self._transfer(stage, progress)
      run = self._retrain if stage.init else self._prune_and_train
      return run(stage, self.workdir / stage.path, progress)

    return stages.run_once(
      self.workdir,
      stage.path,
      self._images(stage),
      run,
      progress,
      called=str(epath.Path(self._name) / stage.path),
    )

  def _transfer(self, stage, progress):
    """Judges the network that a round ended with on other data."""
    if stage.task == UNTRAINED:
      ticket = self.transfers.random(stage.seed)
    else:
      # What is pruned during transfer starts dense.
      index = 0 if stage.protocol == "prune" else stage.round
      trained = Stage(stage.seed, stage.task, index)
      ticket = self._ticket(trained, "trained.npz")
    return self.transfers.run(stage, ticket, self.workdir, progress)

  def _prune_and_train(self, stage, directory, progress):
    """Round 0 trains the dense network; round i prunes, rewinds and trains."""
    training, start = self.trainings.of(stage), self.trainings.start(stage)
    rewind = self.trainings.rewind[stage.task]
    images = self.data.images(stage.task, stage.seed)
    dense = self.workdir / dataclasses.replace(stage, round=0).path
    early = checkpoints.Checkpoints(dense / "rewind", keep=None)
    fresh = training.draw(self.image_shape, stage.seed, "init")
    carried = training.init_task(images.train, stage.seed)

    def w_k():
      return early.rewind(rewind, fresh, carried)

    variables, masks = fresh, masks_lib.dense(fresh["params"])
    if stage.round > 0:
      masks = self._prune(stage)
      variables, rewound = w_k()
      # A schedule that restarts does so with what the task starts from.
      carried = rewound if start else carried
    state = training.new_state(
      variables,
      masks,
      images.train,
      stage.seed,
      start=start,
      task_state=carried,
    )
    state = loop.train(
      training,
      state,
      images,
      directory,
      stage.seed,
      progress,
      early=early,
      early_update=rewind if stage.round == 0 else None,
    )
    if stage.round == 0:
      variables, _ = w_k()
    early.close()
    self._save_ticket(directory / "ticket.npz", stage, masks, variables)
    self._save_ticket(directory / "trained.npz", stage, masks, state.variables)
    report = sparsity.report(masks, state.params, self._uses)
    for layer in report["layers"]:
      if not layer["kept"]:  # Said, never mended silently.
        logging.warning("%s: nothing of %s remains", stage.path, layer["path"])
    files.write_json(directory / "sparsity.json", report)
    found = sparsity.magnitudes(state.params, masks)
    files.write_json(directory / "magnitudes.json", found)
    return self._results(stage, state, images)

  def _prune(self, stage: Stage) -> masks_lib.Masks:
    """Prunes what the round before ended with."""
    before = dataclasses.replace(stage, round=stage.round - 1)
    trained = self._ticket(before, "trained.npz")
    purpose = f"ties {stage.round}"
    return rounds.prune(
      trained, self.config.prune, self.layers, stage.seed, purpose
    )

  def _retrain(self, stage, directory, progress):
    """Trains the mask of a round on labels, from one of the starting points."""
    training, seed = self.trainings.of(stage), stage.seed
    if self.trainings.is_reinit(stage):
      reinit = dataclasses.replace(stage, init="reinit")
      lines = files.read_json(self.workdir / reinit.path / "result.json")
      return [{**line, "init": stage.init} for line in lines]
    dense = dataclasses.replace(stage, round=0)
    purpose = f"{stage.init} {stage.task} {stage.round}"
    variables, masks = rounds.start(
      stage.init,
      self._ticket(stage, "ticket.npz"),
      training.draw(self.image_shape, seed, "reinit"),
      rng.stream_generator(seed, purpose),
      dense=lambda: self._ticket(dense, "trained.npz"),
      ranked=self._ranked,
    )
    variables, masks = training.with_new_head(
      variables, masks, self.image_shape, seed
    )
    images = self.data.images(RETRAINING, seed)
    state = training.new_state(variables, masks, images.train, seed)
    state = loop.train(training, state, images, directory, seed, progress)
    return self._results(stage, state, images)

  def _ticket(self, stage: Stage, name: str) -> tickets.Ticket:
    found = dataclasses.replace(stage, init=None)
    return tickets.load(self.workdir / found.path / name)

  def _results(self, stage, state, images):
    """Evaluates the last weights; a line of results for each metric."""
    training = self.trainings.of(stage)
    masks_lib.check_pruned(state.masks, state.params)
    scores = loop.evaluate(training, state, images)
    scored = images.scored(training.task.scored_on)
    ranked = masks_lib.prunable(state.masks)
    ranked = [ranked[name] for name in self._ranked]
    line = {
      "seed": stage.seed,
      "task": stage.task,
      "stage": "retrain" if stage.init else "pretext",
      "round": stage.round,
      "init": stage.init,
      **masks_lib.shares(state.masks, state.params),
      "density_of_ranked": sum(np.count_nonzero(m) for m in ranked)
      / sum(m.size for m in ranked),
      "model": config_lib.network_name(self.config.model),
      "dataset": self.config.dataset.name,
      "split": self.config.dataset[training.task.scored_on],
      "n": len(scored),
      "updates": training.length - self.trainings.start(stage),
      "training_images": len(images.train),
      "rewind_update": self.trainings.rewind[stage.task],
    }
    return [
      {**line, "metric": metric, "value": value}
      for metric, value in scores.items()
    ]

  def _images(self, stage: Stage | TransferStage) -> int:
    if isinstance(stage, TransferStage):
      return self.transfers.num_images(stage)
    return self.trainings.images(stage)

  def _save_ticket(self, path, stage, masks, variables):
    chosen = self.data.labelled(stage.task, stage.seed)
    tickets.save(
      path,
      tickets.Ticket(
        masks=masks,
        params=variables["params"],
        batch_stats=variables["batch_stats"],
        meta={
          "kind": path.stem,
          "task": stage.task,
          "seed": stage.seed,
          "round": stage.round,
          "density": masks_lib.density(masks),
          "rewind_update": self.trainings.rewind[stage.task],
          "labelled": None if chosen is None else index_list(chosen)["sha256"],
          "image_shape": list(self.image_shape),
          "config": config_lib.resolved(self.config),
        },
      ),
    )
