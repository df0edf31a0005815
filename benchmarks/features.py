"""Are the features of a run better than those of a random network?

  python benchmarks/features.py runs/npid_digits

For every task, round and layer of the run, a line of test accuracies in
percent, on what is read of the trained network, masked and in evaluation mode:
`linear`, a linear classifier on all training images; `linear_few`, one on 10
images of each class (mean and standard error of 5 draws); `knn`, a vote of the
20 nearest training images (cosine). The first lines of each task are the same
network before any training.
"""

import argparse
import json
import pathlib

import numpy as np
from ml_collections import ConfigDict
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sslprune_jax import data, models, tasks
from sslprune_jax.features import extraction
from sslprune_jax.pruning import tickets
from sslprune_jax.runtime import environment
from sslprune_jax.runtime import rng as rng_lib
from sslprune_jax.training import state

_BATCH = 256
_FEW, _DRAWS = 10, 5


def main():
  """Prints a line of JSON for every network."""
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("run", type=pathlib.Path, help="workdir of a study")
  parser.add_argument("--seed", type=int, default=0)
  parser.add_argument(
    "--layers", default="features", help="such as features,stage3"
  )
  arguments = parser.parse_args()
  environment.prepare()
  config = ConfigDict(
    json.loads((arguments.run / "config.json").read_text())["config"]
  )
  layers = arguments.layers.split(",")
  for line in judge(config, arguments.run, arguments.seed, layers):
    print(json.dumps(line), flush=True)


def judge(config, run, seed, layers, of=None, on_all=True):
  """Yields a line of test accuracies for every task, network and layer.

  Args:
    config: configuration of the run.
    run: its workdir.
    seed: seed of the study.
    layers: names of endpoints.
    of: names of the networks, such as `random`, `round_00`; None: all.
    on_all: whether the linear classifier on all images is trained too, which
      takes most of the time.
  """
  sources = [
    data.load(data.Spec.from_config(config.dataset, config.dataset[split]))
    for split in ("train", "test")
  ]
  for name in config.tasks:
    task = tasks.make(config, name, sources[0])
    network = models.from_config(config.model, task.num_outputs)
    shape = sources[0].image_shape
    key = rng_lib.stream_key(seed, "init")
    networks = {"random": state.initialize(network, shape, key)}
    folder = run / f"seed_{seed}" / name
    for path in sorted(folder.glob("round_*/trained.npz")):
      networks[path.parent.name] = tickets.load(path).variables
    for layer in layers:
      step = extraction.make_step(network, task.normalise, layer)
      for network_name in networks if of is None else of:
        variables = networks[network_name]
        found = [_features(step, variables, source) for source in sources]
        line = {"task": name, "network": network_name, "layer": layer}
        yield {**line, **_scores(found, on_all)}


def _features(step, variables, source):
  """Returns features f32[N,F] and labels i32[N]."""
  found = extraction.extract(step, variables, source, _BATCH)
  return found.on_host(), source.labels


def _scores(found, on_all):
  """Returns test accuracies in percent."""
  (features, labels), test = found
  few = []
  for draw in range(_DRAWS):
    rows = _few(labels, np.random.default_rng(draw))
    few.append(_linear().fit(features[rows], labels[rows]).score(*test))
  knn = KNeighborsClassifier(20, metric="cosine", algorithm="brute")
  error = np.std(few, ddof=1) / np.sqrt(_DRAWS)
  scores = {
    "linear_few": np.mean(few),
    "linear_few_error": error,
    "knn": knn.fit(features, labels).score(*test),
  }
  if on_all:
    scores["linear"] = _linear().fit(features, labels).score(*test)
  return {name: round(100 * float(score), 1) for name, score in scores.items()}


def _linear():
  return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))


def _few(labels, rng):
  """Draws 10 images of each class."""
  return np.concatenate(
    [
      rng.choice(np.flatnonzero(labels == label), _FEW, replace=False)
      for label in np.unique(labels)
    ]
  )


if __name__ == "__main__":
  main()
