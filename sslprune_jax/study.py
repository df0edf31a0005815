"""A study: plan its stages, run those that are not done.

For every seed and task, as in section 3 of the paper: train the dense network
and keep W_k; then, round by round, prune a share of what remains, rewind to W_k
and train again; then retrain the masks of chosen rounds on labels, from W_k,
from fresh weights, and against a random control. A stage whose result is on
disk is not run again.
"""

import dataclasses
import functools
import importlib.metadata
import platform
import subprocess
from typing import Any

import jax
import numpy as np
from absl import logging
from etils import epath
from ml_collections import ConfigDict

from sslprune_jax import (
  checkpoints,
  files,
  models,
  optim,
  parallel,
  pruning,
  tickets,
  train,
)
from sslprune_jax import config as config_lib
from sslprune_jax import masks as masks_lib
from sslprune_jax import state as state_lib
from sslprune_jax.data import augment, batches, sources
from sslprune_jax.progress import MetricLines, Progress
from sslprune_jax.tasks import Labels, RotNet, Task


@dataclasses.dataclass(frozen=True)
class Stage:
  """One training of a study, and where its result lies.

  Attributes:
    seed: of the study.
    task: whose training finds the masks.
    round: of pruning; 0 is the dense network.
    init: None for the task's own training; for retraining on labels "rewind"
      (W_k), "reinit" (fresh weights) or "random" (permuted mask, fresh
      weights).
  """

  seed: int
  task: str
  round: int
  init: str | None = None

  @property
  def path(self) -> str:
    """Folder below the workdir."""
    base, number = f"seed_{self.seed}/{self.task}", f"round_{self.round:02d}"
    return (
      f"{base}/retrain/{number}/{self.init}"
      if self.init
      else f"{base}/{number}"
    )


def plan(config: ConfigDict) -> list[Stage]:
  """Lists the stages of a study in the order in which they run."""
  stages = []
  for seed in config.seeds:
    for task in config.tasks:
      stages += [Stage(seed, task, i) for i in range(config.prune.rounds + 1)]
      stages += [
        Stage(seed, task, i, init)
        for i in config.retrain.rounds
        for init in config.retrain.inits
      ]
  return stages


class Training:
  """What all trainings of one kind share, compiled once: recipe and steps.

  Args:
    config: the whole configuration.
    section: the recipe's: "train" or "retrain.train".
    task: what is trained.
    num_images: in the training set.

  Raises:
    ConfigError: the recipe does not fit the data or the devices.
  """

  def __init__(
    self, config: ConfigDict, section: str, task: Task, num_images: int
  ):
    recipe = config_lib.lookup(config, section)
    self.task, self.batch_size = task, recipe.batch_size
    devices = jax.device_count()
    if self.batch_size % devices:
      raise config_lib.ConfigError(
        f"config.{section}.batch_size: found {self.batch_size}, expected a "
        f"multiple of the {devices} devices"
      )
    if self.batch_size > num_images:
      raise config_lib.ConfigError(
        f"config.{section}.batch_size: found {self.batch_size}, expected at "
        f"most the {num_images} training images"
      )
    self.updates_per_epoch = num_images // self.batch_size
    self.updates = functools.partial(
      config_lib.updates,
      config,
      batch_size=self.batch_size,
      num_images=num_images,
    )
    self.length = self.updates(f"{section}.duration")
    if self.length < 1:
      raise config_lib.ConfigError(
        f"config.{section}.duration: found {recipe.duration!r}, which is "
        f"{self.length} updates, expected at least one"
      )
    self.network = models.build(
      config.model.name,
      task.num_outputs,
      dtype=config.model.dtype,
      batch_norm_axis=(
        parallel.AXIS if config.model.batch_norm == "global" else None
      ),
    )
    self.optimizer = optim.optimizer(
      recipe.optimizer,
      weight_decay=recipe.weight_decay,
      momentum=recipe.momentum,
      nesterov=recipe.nesterov,
    )
    schedule = optim.schedule(
      recipe.schedule,
      recipe.learning_rate,
      length=self.length,
      warmup=self.updates(f"{section}.warmup"),
      milestones=[
        self.updates(f"{section}.milestones[{i}]")
        for i in range(len(recipe.milestones))
      ],
      decay=recipe.decay,
    )
    self.step = parallel.pmapped(
      train.make_step(self.network, task, self.optimizer, schedule)
    )
    self.evaluation_step = parallel.pmapped(
      train.make_evaluation_step(self.network, task), donate_state=False
    )

  def images(self, start: int = 0) -> int:
    """Returns how many images a training from an update on is trained on."""
    return (self.length - start) * self.batch_size * self.task.rows


class Study:
  """A study on disk.

  Args:
    config: validated.
    workdir: where everything is written.
  """

  def __init__(self, config: ConfigDict, workdir: epath.PathLike):
    self.config, self.workdir = config, epath.Path(workdir)
    self.train_source = _load(config, config.dataset.train)
    self.test_source = _load(config, config.dataset.test)
    self.image_shape = self.train_source.image_shape
    self.trainings = {
      name: Training(config, "train", self._task(name), len(self.train_source))
      for name in config.tasks
    }
    if config.retrain.rounds and config.retrain.inits:
      size = len(self._labelled(config.seeds[0]))
      self.retraining = Training(
        config, "retrain.train", self._task("labels"), size
      )
    # k of W_k depends on the batch size alone, which the tasks share.
    pretext = self.trainings[config.tasks[0]]
    self.rewind_update = pretext.updates("prune.rewind")
    if self.rewind_update >= pretext.length:
      raise config_lib.ConfigError(
        f"config.prune.rewind: found {config.prune.rewind!r}, update "
        f"{self.rewind_update}, expected one before the end of training at "
        f"update {pretext.length}"
      )
    self.layers = models.layer_order(pretext.network, self.image_shape)
    if config.prune.first_layers > len(self.layers):
      raise config_lib.ConfigError(
        f"config.prune.first_layers: found {config.prune.first_layers}, "
        f"expected at most the {len(self.layers)} layers of "
        f"{config.model.name}"
      )

  def run(self) -> list[dict[str, Any]]:
    """Runs the stages that are not done; returns all results."""
    stages = plan(self.config)
    progress = Progress(sum(self._images(stage) for stage in stages))
    results = []
    try:
      for stage in stages:
        results += self._run_once(stage, progress)
        lines = "".join(files.json_line(result) for result in results)
        files.write(self.workdir / "results.jsonl", lines.encode())
    finally:
      progress.close()
    return results

  def _run_once(self, stage: Stage, progress: Progress) -> list[dict[str, Any]]:
    """Runs a stage, or reads the result that says that it is done."""
    directory = self.workdir / stage.path
    saved = checkpoints.Checkpoints(directory / "checkpoint")
    done = directory / "result.json"
    if done.exists():
      progress.skip(self._images(stage))
    else:
      progress.title(stage.path)
      run = self._retrain if stage.init else self._prune_and_train
      try:
        results = run(stage, directory, saved, progress)
      except train.DivergedError as error:
        good = saved.newest() or "none"
        raise train.DivergedError(
          f"{directory}: {error}; last good checkpoint: {good}"
        ) from None
      files.write_json(done, results)  # Last: now the stage is done.
      scores = {r["metric"]: r["value"] for r in results}
      progress.say(
        f"{stage.path}  {results[0]['density']:.1%} remaining  "
        + "  ".join(f"{name} {value:.4f}" for name, value in scores.items())
      )
    saved.delete()
    return files.read_json(done)

  def _prune_and_train(self, stage, directory, saved, progress):
    """Round 0 trains the dense network; round i prunes, rewinds and trains."""
    training = self.trainings[stage.task]
    first = self.workdir / dataclasses.replace(stage, round=0).path
    early = checkpoints.Checkpoints(first / "rewind", keep=None)
    fresh = self._fresh(training, stage.seed, "init")
    if stage.round == 0:
      variables, masks, start = fresh, masks_lib.dense(fresh["params"]), 0
    else:
      variables = early.rewind(self.rewind_update, fresh)
      masks = self._prune(stage)
      restarts = self.config.prune.schedule == "restart"
      start = 0 if restarts else self.rewind_update
      self._save_ticket(directory / "ticket.npz", stage, masks, variables)
    state = self._fit(
      training,
      stage,
      directory,
      saved,
      progress,
      variables,
      masks,
      start=start,
      source=self.train_source,
      early=early if stage.round == 0 else None,
    )
    if stage.round == 0:
      early.close()
      variables = early.rewind(self.rewind_update, fresh)
      self._save_ticket(directory / "ticket.npz", stage, masks, variables)
    trained = {"params": state.params, "batch_stats": state.batch_stats}
    self._save_ticket(directory / "trained.npz", stage, masks, trained)
    order = [name for group in self.layers for name in group]
    report = masks_lib.report(masks, state.params, order)
    _warn_of_collapse(stage, report)
    files.write_json(directory / "sparsity.json", report)
    return self._results(stage, training, state, training.length - start)

  def _prune(self, stage: Stage) -> masks_lib.Masks:
    """Prunes what the round before ended with."""
    prune = self.config.prune
    before = dataclasses.replace(stage, round=stage.round - 1)
    trained = tickets.load(self.workdir / before.path / "trained.npz")
    first = self.layers[: prune.first_layers] if prune.first_layers else None
    return pruning.prune(
      trained.params,
      trained.masks,
      prune.rate,
      state_lib.stream_generator(stage.seed, f"ties {stage.round}"),
      scope=prune.scope,
      layers=first and [name for group in first for name in group],
    )

  def _retrain(self, stage, directory, saved, progress):
    """Trains the mask of a round on labels, from one of the starting points."""
    training, seed = self.retraining, stage.seed
    found = dataclasses.replace(stage, init=None)
    ticket = tickets.load(self.workdir / found.path / "ticket.npz")
    masks = ticket.masks
    if stage.init == "random":
      purpose = f"random {stage.task} {stage.round}"
      masks = pruning.permuted(masks, state_lib.stream_generator(seed, purpose))
    # Both controls draw the same weights: they differ in the mask alone. The
    # head is new, and the same for all tickets of a seed.
    drawn = "head" if stage.init == "rewind" else "reinit"
    variables = self._fresh(training, seed, drawn)
    if stage.init == "rewind":
      variables = state_lib.with_head_of(ticket.variables, variables)
    else:
      variables = state_lib.with_head_of(
        variables, self._fresh(training, seed, "head")
      )
    masks = {**masks, "head": masks_lib.dense(variables["params"])["head"]}
    state = self._fit(
      training,
      stage,
      directory,
      saved,
      progress,
      variables,
      masks,
      source=self._labelled(seed),
    )
    return self._results(stage, training, state, training.length)

  def _fit(
    self,
    training,
    stage,
    directory,
    saved,
    progress,
    variables,
    masks,
    *,
    source,
    start=0,
    early=None,
  ):
    """Trains under masks, going on from the newest checkpoint if there is one.

    Args:
      training: recipe and steps.
      stage: which training this is.
      directory: its folder.
      saved: its checkpoints.
      progress: the bar.
      variables: to start from.
      masks: to train under.
      source: the training images.
      start: update of the schedule to start from.
      early: where W_k is saved; None unless the training is dense.

    Returns:
      The state after the last update.
    """
    state = state_lib.create(
      variables,
      masks,
      training.optimizer,
      state_lib.stream_key(stage.seed, "augment"),
      step=start,
    )
    state = saved.restore_newest(state) or state
    begin = int(state.step)
    progress.skip((begin - start) * training.batch_size * training.task.rows)
    every = max(1, training.updates("log.checkpoint"))
    lines = MetricLines(
      directory / "metrics.jsonl",
      every=max(1, training.updates("log.every")),
      updates_per_epoch=training.updates_per_epoch,
      start=begin,
    )

    def on_metrics(update, metrics):
      lines.add(update, metrics)
      progress.show(metrics)
      progress.advance(training.batch_size * training.task.rows)

    def saves_early(done):
      return early is not None and done == self.rewind_update

    def saves(done):
      return saves_early(done) or (done > begin and done % every == 0)

    def save(done, state):
      if saves_early(done):
        early.save(done, state)
        early.wait()  # On disk before any later checkpoint is.
      if done > begin and done % every == 0:
        saved.save(done, state)

    feed = _batches(source, training.batch_size)
    order = functools.partial(batches.permutation, stage.seed, size=len(source))
    try:
      return train.fit(
        state,
        training.step,
        feed.train(order, begin, training.length),
        on_metrics=on_metrics,
        saves_at=saves,
        save=save,
      )
    finally:
      lines.close(training.length)

  def _results(self, stage, training, state, updates):
    """Evaluates the last weights; a line of results for each metric."""
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    scores = train.evaluate(
      training.evaluation_step,
      variables,
      _batches(self.test_source, training.batch_size).evaluate(),
    )
    kept, total = masks_lib.count(state.masks)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    source = self._labelled(stage.seed) if stage.init else self.train_source
    return [
      {
        "seed": stage.seed,
        "task": stage.task,
        "stage": "retrain" if stage.init else "pretext",
        "round": stage.round,
        "init": stage.init,
        "density": kept / total,
        "density_of_all": (parameters - total + kept) / parameters,
        "kept": kept,
        "prunable": total,
        "model": self.config.model.name,
        "dataset": self.config.dataset.name,
        "split": self.config.dataset.test,
        "metric": metric,
        "value": value,
        "n": len(self.test_source),
        "updates": updates,
        "training_images": len(source),
        "rewind_update": self.rewind_update,
      }
      for metric, value in scores.items()
    ]

  def _images(self, stage: Stage) -> int:
    if stage.init:
      return self.retraining.images()
    restarts = self.config.prune.schedule == "restart"
    start = 0 if restarts or stage.round == 0 else self.rewind_update
    return self.trainings[stage.task].images(start)

  def _fresh(self, training: Training, seed: int, purpose: str):
    key = state_lib.stream_key(seed, purpose)
    return state_lib.initialize(training.network, self.image_shape, key)

  @functools.lru_cache(maxsize=1)  # noqa: B019: a study lives as long as main
  def _labelled(self, seed: int) -> sources.Source:
    """Returns the images that masks are retrained on."""
    fraction = self.config.retrain.fraction
    if fraction == 1:
      return self.train_source
    chosen = sources.stratified(self.train_source.labels, fraction, seed)
    return sources.subset(self.train_source, chosen)

  def _task(self, name: str) -> Task:
    data = self.config.dataset
    settings = {
      "augment": augment.Augment(padding=data.padding, flip=data.flip),
      "normalise": functools.partial(
        augment.normalise, mean=data.mean, std=data.std
      ),
    }
    if name == "rotnet":
      return RotNet(num_outputs=4, copies=self.config.rotnet.copies, **settings)
    classes = self.train_source.num_classes
    outputs = self.config.model.outputs or classes
    if not classes:
      raise config_lib.ConfigError(
        f"config.dataset.name: {data.name!r} has no labels, which "
        f"{'the task labels' if name in self.config.tasks else 'retraining'} "
        "needs; set config.tasks and config.retrain.rounds=()"
      )
    if outputs < classes:
      raise config_lib.ConfigError(
        f"config.model.outputs: found {outputs}, expected at least the "
        f"{classes} classes of {data.name} (or 0)"
      )
    return Labels(num_outputs=outputs, **settings)

  def _save_ticket(self, path, stage, masks, variables):
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
          "rewind_update": self.rewind_update,
          "image_shape": list(self.image_shape),
          "config": config_lib.resolved(self.config),
          "sslprune_jax": importlib.metadata.version("sslprune-jax"),
        },
      ),
    )


def _load(config: ConfigDict, split: str) -> sources.Source:
  data = config.dataset
  source = sources.load(
    data.name,
    split,
    data_dir=data.data_dir or None,
    image_size=data.image_size,
    channels=data.channels,
    workers=data.workers,
  )
  return sources.in_memory(source) if data.resident else source


def _batches(source: sources.Source, batch_size: int):
  return batches.Batches(
    source, batch_size, parallel.split(), parallel.replicated()
  )


def _warn_of_collapse(stage: Stage, report: dict[str, Any]) -> None:
  """Names the layers that a round has emptied; nothing is fixed silently."""
  for layer in report["layers"]:
    if not layer["kept"]:
      logging.warning("%s: no weight of %s remains", stage.path, layer["path"])


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
  config_lib.validate(config)
  study = Study(config, workdir)
  record_config(config, epath.Path(workdir))
  return study.run()
