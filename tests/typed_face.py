"""A user's program on every public name, for mypy: it is never run.

`mypy tests/typed_face.py` holds that what the package says of its types is what
a user can annotate.
"""

import pathlib
from typing import Any, assert_type

import jax
import numpy as np
import optax
from etils import epath
from ml_collections import ConfigDict

import sslprune_jax
from sslprune_jax import (
  ConfigError,
  LostFileError,
  Ticket,
  TrainState,
  UserError,
  build_network,
  clustering,
  create_state,
  estimate_cost,
  knn,
  load_ticket,
  magnitude_scores,
  make_step,
  masks,
  paper,
  precision,
  prune,
  recipes,
  run,
  save_ticket,
  svm,
  tickets,
  variants,
  write_report,
)
from sslprune_jax.config import SVM_COSTS, base, dataset, recipe
from sslprune_jax.tasks.labels import Labels

version: str = sslprune_jax.__version__


def prune_a_ticket(path: str, images: np.ndarray) -> Ticket:
  try:
    ticket: Ticket = load_ticket(path)
  except tickets.TicketError as error:
    lost: LostFileError = error
    raise SystemExit(str(lost)) from None
  task: str = ticket.meta["task"]
  features: np.ndarray = ticket.features(images)
  outputs: Any = ticket.network().apply(ticket.variables, features, train=False)
  rng: np.random.Generator = np.random.default_rng(0)
  scores = magnitude_scores(ticket.params, ticket.masks)
  kept = prune(scores, ticket.masks, 0.2, rng, scope="layer", layers=[task])
  params = masks.apply(kept, ticket.params)
  remaining, prunable = masks.count(kept)
  assert_type(remaining, int)
  assert_type(prunable, int)
  assert_type(masks.density(kept), float)
  assert_type(masks.prunable_names(kept), list[str])
  assert outputs["logits"].shape
  new = Ticket(
    masks=kept,
    params=params,
    batch_stats=ticket.batch_stats,
    meta=ticket.meta,
  )
  save_ticket(pathlib.Path(path), new)
  save_ticket(epath.Path(path), new)
  return new


def train(params: Any, images: np.ndarray) -> TrainState:
  network = build_network("convnet", num_outputs=4, width=0.5)
  kept = masks.dense(params, prunable=lambda name: name.endswith("kernel"))
  task = Labels(num_outputs=4, augment=lambda keys, x: x, normalise=jax.nn.relu)
  optimizer: optax.GradientTransformation = optax.sgd(0.1)
  update = make_step(network, task, optimizer, lambda step: step * 0.1)
  state: TrainState = create_state(
    {"params": params, "batch_stats": {}}, kept, optimizer, jax.random.key(0)
  )
  state, metrics = update(state, {"image": jax.numpy.asarray(images)})
  loss: jax.Array = metrics["loss"]
  assert_type(state, TrainState)
  assert_type(state.step, jax.Array)
  assert loss.shape == ()
  return state


def judge(features: np.ndarray, labels: np.ndarray) -> dict[str, float]:
  points, weight = clustering.lay_out(features)
  assert_type(points, jax.Array)
  projection: clustering.Projection = clustering.fit_pca(points, weight, dims=4)
  points = clustering.project(points, projection)
  key: jax.Array = jax.random.key(0)
  found: clustering.Clusters = clustering.kmeans(points, weight, 10, key)
  assigned: np.ndarray = clustering.flat(found.assignment, len(features))
  answers: np.ndarray = knn.classify(
    points, assigned, points, neighbours=5, temperature=0.1, num_classes=10
  )
  names: list[str] = ["cat", "dog"]
  machines: svm.Machines = svm.fit(features, labels, names, SVM_COSTS["fair"])
  truth: np.ndarray = labels[answers]
  assert_type(precision.average_precision(truth[0], truth[1]), float)
  return precision.of_classes(machines.scores(features), truth, names)


def study(workdir: str) -> list[dict[str, Any]]:
  config: ConfigDict = recipes.study("rotnet", "digits")
  config.train.update(recipe(duration="1ep", batch_size=64))
  config.dataset.update(dataset("digits"))
  other: ConfigDict = base()
  variants.add(config, "other", other)
  studies: dict[str, ConfigDict] = variants.expand(config)
  points: dict[str, str] = recipes.rewinds(other, config, 1437)
  rounds: tuple[int, ...] = recipes.REPORTED_ROUNDS
  costs: dict[str, Any] = estimate_cost(recipes.alexnet("labels"), "v5e:2x4")
  figure: ConfigDict = paper.figure("fig4_depth", "digits")
  assert studies and points and rounds and costs and figure
  try:
    lines: list[dict[str, Any]] = run(config, workdir, share=(0, 2))
  except ConfigError as error:
    refused: UserError = error
    raise SystemExit(str(refused)) from None
  pages: list[epath.Path] = write_report([workdir], f"{workdir}/report.html")
  assert pages
  return lines
