"""A study: plan its stages, run those that are not done.

For every seed and task, as in section 3 of the paper: train the dense network
and keep W_k; then, round by round, prune a share of what remains, rewind to W_k
and train again; then retrain the masks of chosen rounds on labels, from W_k,
from fresh weights, and against a random control, and transfer the networks of
chosen rounds to other data. A stage whose result is on disk is not run again.
"""

import dataclasses
import itertools
from typing import Any

import jax
from absl import logging
from etils import epath
from ml_collections import ConfigDict

from sslprune_jax import (
  checkpoints,
  controls,
  files,
  models,
  provenance,
  rounds,
  stages,
  task_setup,
  tickets,
  validation,
)
from sslprune_jax import config as config_lib
from sslprune_jax import masks as masks_lib
from sslprune_jax import state as state_lib
from sslprune_jax.config import ConfigError
from sslprune_jax.plan import RANDOM, Stage, Transfer, plan
from sslprune_jax.progress import Progress
from sslprune_jax.study_data import RETRAINING, StudyData, listed
from sslprune_jax.training import Training
from sslprune_jax.transfer import Transfers


def run(config: ConfigDict, workdir: epath.PathLike) -> list[dict[str, Any]]:
  """Runs a study, or what is left of it.

  Args:
    config: the configuration.
    workdir: where everything is written.

  Returns:
    The lines of results.jsonl.

  Raises:
    ConfigError: an impossible configuration, before any device work.
  """
  validation.validate(config)
  study = Study(config, epath.Path(workdir))
  provenance.record(config, epath.Path(workdir))
  return study.run()


class Study:
  """A study on disk.

  Args:
    config: validated.
    workdir: where everything is written.

  Raises:
    ConfigError: the configuration does not fit the data or the devices.
  """

  def __init__(self, config: ConfigDict, workdir: epath.Path):
    self.config, self.workdir = config, workdir
    self.data = StudyData(config)
    self.image_shape = self.data.train.image_shape
    self.pretext = {
      name: self._training("train", name, name) for name in config.tasks
    }
    self.retraining = None
    if config.retrain.rounds and config.retrain.inits:
      self.retraining = self._training("retrain.train", "labels", RETRAINING)
    for name, training in self.pretext.items():
      if training.rewind_update >= training.length:
        raise ConfigError(
          f"config.prune.rewind: found {config.prune.rewind!r}, which is "
          f"update {training.rewind_update} of {name}, expected one before the "
          f"end of training, update {training.length}"
        )
    self.transfers = Transfers(config, self.image_shape)
    network = self.pretext[config.tasks[0]].network
    self.layers = models.layer_order(network, self.image_shape)
    if config.prune.first_layers > len(self.layers):
      raise ConfigError(
        f"config.prune.first_layers: found {config.prune.first_layers}, "
        f"expected at most the {len(self.layers)} layers of "
        f"{config.model.name}"
      )

  def _training(self, section: str, task: str, images_of: str) -> Training:
    made = task_setup.make_task(self.config, task, self.data.train)
    images = self.data.images(images_of, self.config.seeds[0])
    return Training(self.config, section, made, images.train)

  def run(self) -> list[dict[str, Any]]:
    """Runs the stages that are not done; returns all results."""
    planned = plan(self.config)
    progress = Progress(sum(self._images(stage) for stage in planned))
    self._list_labelled()
    results = []
    try:
      for stage in planned:
        results += self._run_once(stage, progress)
        files.write_json_lines(self.workdir / "results.jsonl", results)
    finally:
      progress.close()
    return results

  def _list_labelled(self) -> None:
    """Writes down whose labels are seen, where it is not everyone's."""
    purposes = self.config.tasks
    if self.retraining:
      purposes += (RETRAINING,)
    for seed, purpose in itertools.product(self.config.seeds, purposes):
      chosen = self.data.labelled(purpose, seed)
      if chosen is not None:
        path = self.workdir / f"seed_{seed}/labelled_{purpose}.json"
        files.write_json(path, listed(chosen))

  def _run_once(
    self, stage: Stage | Transfer, progress: Progress
  ) -> list[dict[str, Any]]:
    """Runs a stage, or reads the result that says that it is done."""

    def run():
      if isinstance(stage, Transfer):
        return self._transfer(stage, progress)
      run = self._retrain if stage.init else self._prune_and_train
      return run(stage, self.workdir / stage.path, progress)

    return stages.run_once(
      self.workdir, stage.path, self._images(stage), run, progress
    )

  def _transfer(self, stage, progress):
    """Judges the network that a round ended with on other data."""
    if stage.task == RANDOM:
      ticket = self.transfers.random(stage.seed)
    else:
      # What is pruned during transfer starts dense.
      index = 0 if stage.protocol == "prune" else stage.round
      trained = self.workdir / Stage(stage.seed, stage.task, index).path
      ticket = tickets.load(trained / "trained.npz")
    return self.transfers.run(stage, ticket, self.workdir, progress)

  def _prune_and_train(self, stage, directory, progress):
    """Round 0 trains the dense network; round i prunes, rewinds and trains."""
    training = self.pretext[stage.task]
    images = self.data.images(stage.task, stage.seed)
    dense = self.workdir / dataclasses.replace(stage, round=0).path
    early = checkpoints.Checkpoints(dense / "rewind", keep=None)
    fresh = training.draw(self.image_shape, stage.seed, "init")
    carried = training.task_state(images.train, stage.seed)

    def w_k():
      return early.rewind(training.rewind_update, fresh, carried)

    variables, masks = fresh, masks_lib.dense(fresh["params"])
    if stage.round > 0:
      masks = self._prune(stage)
      variables, rewound = w_k()
      # A schedule that restarts does so with what the task starts from.
      carried = rewound if self._start(stage) else carried
    state = training.run(
      directory,
      variables,
      masks,
      images,
      seed=stage.seed,
      progress=progress,
      start=self._start(stage),
      task_state=carried,
      save_early=early.save_durably if stage.round == 0 else None,
    )
    if stage.round == 0:
      variables, _ = w_k()
    early.close()
    self._save_ticket(directory / "ticket.npz", stage, masks, variables)
    self._save_ticket(directory / "trained.npz", stage, masks, state.variables)
    order = [name for layer in self.layers for name in layer]
    report = masks_lib.report(masks, state.params, order)
    for layer in report["layers"]:
      if not layer["kept"]:  # Said, never mended silently.
        logging.warning("%s: nothing of %s remains", stage.path, layer["path"])
    files.write_json(directory / "sparsity.json", report)
    return self._results(stage, training, state, images)

  def _prune(self, stage: Stage) -> masks_lib.Masks:
    """Prunes what the round before ended with."""
    before = dataclasses.replace(stage, round=stage.round - 1)
    trained = tickets.load(self.workdir / before.path / "trained.npz")
    purpose = f"ties {stage.round}"
    return rounds.prune(
      trained, self.config.prune, self.layers, stage.seed, purpose
    )

  def _retrain(self, stage, directory, progress):
    """Trains the mask of a round on labels, from one of the starting points."""
    training, seed = self.retraining, stage.seed
    found = dataclasses.replace(stage, init=None)
    ticket = tickets.load(self.workdir / found.path / "ticket.npz")
    masks, variables = ticket.masks, ticket.variables
    if stage.init != "rewind":
      variables = training.draw(self.image_shape, seed, "reinit")
    if stage.init == "random":  # The same weights as reinit, another mask.
      purpose = f"random {stage.task} {stage.round}"
      masks = controls.permuted(
        masks, state_lib.stream_generator(seed, purpose)
      )
    variables, masks = training.with_new_head(
      variables, masks, self.image_shape, seed
    )
    images = self.data.images(RETRAINING, seed)
    state = training.run(
      directory,
      variables,
      masks,
      images,
      seed=seed,
      progress=progress,
    )
    return self._results(stage, training, state, images)

  def _results(self, stage, training, state, images):
    """Evaluates the last weights; a line of results for each metric."""
    masks_lib.check_pruned(state.masks, state.params)
    scores = training.evaluate(state, images)
    scored = images.scored_by(training.task)
    kept, prunable = masks_lib.count(state.masks)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    line = {
      "seed": stage.seed,
      "task": stage.task,
      "stage": "retrain" if stage.init else "pretext",
      "round": stage.round,
      "init": stage.init,
      "density": kept / prunable,
      "density_of_all": (parameters - prunable + kept) / parameters,
      "kept": kept,
      "prunable": prunable,
      "model": self.config.model.name,
      "dataset": self.config.dataset.name,
      "split": self.config.dataset[training.task.scored_on],
      "n": len(scored),
      "updates": training.length - self._start(stage),
      "training_images": len(images.train),
      "rewind_update": self.pretext[stage.task].rewind_update,
    }
    return [
      {**line, "metric": metric, "value": value}
      for metric, value in scores.items()
    ]

  def _start(self, stage: Stage) -> int:
    """Returns the update of the schedule that a stage starts from."""
    rewound = stage.round > 0 and stage.init is None
    continues = self.config.prune.schedule == "continue"
    updates = self.pretext[stage.task].rewind_update
    return updates if rewound and continues else 0

  def _images(self, stage: Stage | Transfer) -> int:
    if isinstance(stage, Transfer):
      return self.transfers.num_images(stage)
    training = self.retraining if stage.init else self.pretext[stage.task]
    return training.images(self._start(stage))

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
          "rewind_update": self.pretext[stage.task].rewind_update,
          "labelled": None if chosen is None else listed(chosen)["sha256"],
          "image_shape": list(self.image_shape),
          "config": config_lib.resolved(self.config),
        },
      ),
    )
