"""A study: plan its stages, run those that are not done.

For every seed and task, as in section 3 of the paper: train the dense network
and keep W_k; then, round by round, prune a share of what remains, rewind to W_k
and train again; then retrain the masks of chosen rounds on labels, from W_k,
from fresh weights, and against a random control. A stage whose result is on
disk is not run again.
"""

import dataclasses
import functools
from typing import Any

import jax
from absl import logging
from etils import epath
from ml_collections import ConfigDict

from sslprune_jax import (
  checkpoints,
  data,
  files,
  models,
  provenance,
  pruning,
  tickets,
  validation,
)
from sslprune_jax import config as config_lib
from sslprune_jax import masks as masks_lib
from sslprune_jax import state as state_lib
from sslprune_jax.config import ConfigError
from sslprune_jax.plan import Stage, plan
from sslprune_jax.progress import Progress
from sslprune_jax.tasks import Labels, RotNet, Task
from sslprune_jax.training import Training

_RESIDENT_LIMIT = 8 * 2**30  # bytes of images that every device can hold


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
    self.train_source = _load(config, config.dataset.train)
    self.test_source = _load(config, config.dataset.test)
    self.image_shape = self.train_source.image_shape
    size = len(self.train_source)
    self.pretext = {
      name: Training(config, "train", self._task(name), size)
      for name in config.tasks
    }
    if config.retrain.rounds and config.retrain.inits:
      size = len(self._labelled(config.seeds[0]))
      self.retraining = Training(
        config, "retrain.train", self._task("labels"), size
      )
    first = self.pretext[config.tasks[0]]
    self.rewind_update = first.rewind_update
    if self.rewind_update >= first.length:
      raise ConfigError(
        f"config.prune.rewind: found {config.prune.rewind!r}, which is update "
        f"{self.rewind_update}, expected one before the end of training, "
        f"update {first.length}"
      )
    self.layers = models.layer_order(first.network, self.image_shape)
    if config.prune.first_layers > len(self.layers):
      raise ConfigError(
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
        files.write_json_lines(self.workdir / "results.jsonl", results)
    finally:
      progress.close()
    return results

  def _run_once(self, stage: Stage, progress: Progress) -> list[dict[str, Any]]:
    """Runs a stage, or reads the result that says that it is done."""
    directory = self.workdir / stage.path
    done = directory / "result.json"
    if done.exists():
      progress.skip(self._images(stage))
    else:
      progress.title(stage.path)
      run = self._retrain if stage.init else self._prune_and_train
      results = run(stage, directory, progress)
      files.write_json(done, results)  # Last: now the stage is done.
      scores = (f"{r['metric']} {r['value']:.4f}" for r in results)
      progress.say(
        f"{stage.path}: {results[0]['density']:.1%} of the weights, "
        + ", ".join(scores)
      )
    checkpoints.Checkpoints(directory / "checkpoint").delete()
    return files.read_json(done)

  def _prune_and_train(self, stage, directory, progress):
    """Round 0 trains the dense network; round i prunes, rewinds and trains."""
    training = self.pretext[stage.task]
    dense = self.workdir / dataclasses.replace(stage, round=0).path
    early = checkpoints.Checkpoints(dense / "rewind", keep=None)
    fresh = training.draw(self.image_shape, stage.seed, "init")
    if stage.round == 0:
      variables, masks = fresh, masks_lib.dense(fresh["params"])
    else:
      variables = early.rewind(self.rewind_update, fresh)
      masks = self._prune(stage)
    state = training.run(
      directory,
      variables,
      masks,
      self.train_source,
      seed=stage.seed,
      progress=progress,
      start=self._start(stage),
      save_early=early.save_durably if stage.round == 0 else None,
    )
    if stage.round == 0:
      variables = early.rewind(self.rewind_update, fresh)
    early.close()
    trained = {"params": state.params, "batch_stats": state.batch_stats}
    self._save_ticket(directory / "ticket.npz", stage, masks, variables)
    self._save_ticket(directory / "trained.npz", stage, masks, trained)
    order = [name for layer in self.layers for name in layer]
    report = masks_lib.report(masks, state.params, order)
    for layer in report["layers"]:
      if not layer["kept"]:  # Said, never mended silently.
        logging.warning("%s: nothing of %s remains", stage.path, layer["path"])
    files.write_json(directory / "sparsity.json", report)
    return self._results(stage, training, state, self.train_source)

  def _prune(self, stage: Stage) -> masks_lib.Masks:
    """Prunes what the round before ended with."""
    prune = self.config.prune
    before = dataclasses.replace(stage, round=stage.round - 1)
    trained = tickets.load(self.workdir / before.path / "trained.npz")
    first = self.layers[: prune.first_layers or None]
    return pruning.prune(
      trained.params,
      trained.masks,
      prune.rate,
      state_lib.stream_generator(stage.seed, f"ties {stage.round}"),
      scope=prune.scope,
      layers=[name for layer in first for name in layer],
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
      masks = pruning.permuted(masks, state_lib.stream_generator(seed, purpose))
    # The head is new, and the same for all tickets of a seed.
    head = training.draw(self.image_shape, seed, "head")["params"]["head"]
    params = {"trunk": variables["params"]["trunk"], "head": head}
    masks = {**masks_lib.dense(params), "trunk": masks["trunk"]}
    source = self._labelled(seed)
    state = training.run(
      directory,
      {**variables, "params": params},
      masks,
      source,
      seed=seed,
      progress=progress,
    )
    return self._results(stage, training, state, source)

  def _results(self, stage, training, state, source):
    """Evaluates the last weights; a line of results for each metric."""
    scores = training.evaluate(state, self.test_source)
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
      "split": self.config.dataset.test,
      "n": len(self.test_source),
      "updates": training.length - self._start(stage),
      "training_images": len(source),
      "rewind_update": self.rewind_update,
    }
    return [
      {**line, "metric": metric, "value": value}
      for metric, value in scores.items()
    ]

  def _start(self, stage: Stage) -> int:
    """Returns the update of the schedule that a stage starts from."""
    rewound = stage.round > 0 and stage.init is None
    continues = self.config.prune.schedule == "continue"
    return self.rewind_update if rewound and continues else 0

  def _images(self, stage: Stage) -> int:
    training = self.retraining if stage.init else self.pretext[stage.task]
    return training.images(self._start(stage))

  @functools.lru_cache(maxsize=1)  # noqa: B019 - a study lives as long as main
  def _labelled(self, seed: int) -> data.Source:
    """Returns the labelled images that masks are retrained on."""
    fraction = self.config.retrain.fraction
    if fraction == 1:
      return self.train_source
    chosen = data.stratified(self.train_source.labels, fraction, seed)
    return data.subset(self.train_source, chosen)

  def _task(self, name: str) -> Task:
    """Makes a task for the data set."""
    dataset, classes = self.config.dataset, self.train_source.num_classes
    views = {
      "augment": data.Augment(
        padding=dataset.padding,
        flip=dataset.flip,
        crop_scale=tuple(dataset.crop_scale) or None,
      ),
      "normalise": functools.partial(
        data.normalise, mean=dataset.mean, std=dataset.std
      ),
    }
    if name == "rotnet":
      return RotNet(num_outputs=4, copies=self.config.rotnet.copies, **views)
    if not classes:
      raise ConfigError(
        f"config.dataset: {self.train_source.name} has no labels, which the "
        "task labels and retraining need; set config.tasks=('rotnet',) and "
        "config.retrain.rounds=()"
      )
    outputs = self.config.model.outputs or classes
    if outputs < classes:
      raise ConfigError(
        f"config.model.outputs: found {outputs}, expected at least the "
        f"{classes} classes of {self.train_source.name}, or 0"
      )
    return Labels(num_outputs=outputs, **views)

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
        },
      ),
    )


def _load(config: ConfigDict, split: str) -> data.Source:
  dataset = config.dataset
  source = data.load(
    dataset.name,
    split,
    data_dir=dataset.data_dir or None,
    image_size=dataset.image_size,
    channels=dataset.channels,
    workers=dataset.workers,
  )
  return data.in_memory(source, _RESIDENT_LIMIT) if dataset.resident else source
